// Keys of which an object lately said that it doesn't know them, or that they have expired: so many, and for so
// long, that whoever goes on showing one costs no object call. Pure, its clock passed in.
import { UNKNOWN_KEY_MS } from "../../shared/limits.ts";

export type KeyFault = "unknown" | "expired";

export class RefusedKeys {
  readonly #maxKeys: number;
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
