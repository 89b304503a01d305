// Keys of which an object lately said that it doesn't know them, or that they have expired: so many, and for so
// long, that whoever goes on showing one costs no object call. Pure, its clock passed in.
import { UNKNOWN_KEY_MS } from "../../shared/limits.ts";

/** As long as failed keys are counted together, milliseconds. */
const COUNTED_MS = 60_000;

export type KeyFault = "unknown" | "expired";

export class RefusedKeys {
  readonly #maxKeys: number;
  readonly #counted = new Map<string, number>();
  readonly #keys = new Map<string, { readonly fault: KeyFault; readonly toldAt: number }>();

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** @param name of the key and the very secret that was shown */
  note(name: string, fault: KeyFault, now: number): void {
    this.#keys.delete(name);
    this.#keys.set(name, { fault, toldAt: now });
    if (this.#keys.size <= this.#maxKeys) return;
    for (const oldest of this.#keys.keys()) {
      this.#keys.delete(oldest);
      return;
    }
  }

  /** Whether a failed key is to be counted: each once a minute, or one forgotten device would lock out its whole address. */
  counts(name: string, now: number): boolean {
    const countedAt = this.#counted.get(name);
    if (countedAt !== undefined && now >= countedAt && now < countedAt + COUNTED_MS) return false;
    this.#counted.delete(name);
    this.#counted.set(name, now);
    for (const oldest of this.#counted.keys()) {
      if (this.#counted.size <= this.#maxKeys) break;
      this.#counted.delete(oldest);
    }
    return true;
  }

  /** What was said of a key; null where nothing was, or too long ago. */
  find(name: string, now: number): KeyFault | null {
    const told = this.#keys.get(name);
    if (told === undefined) return null;
    // Where the clock stepped back, what was told isn't from the future.
    if (now >= told.toldAt && now < told.toldAt + UNKNOWN_KEY_MS) return told.fault;
    this.#keys.delete(name);
    return null;
  }
}
