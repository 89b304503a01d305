// Remembers keys that an object has reported as unknown or expired, for a few seconds: a client that keeps sending one
// costs no object call. Pure, the clock is passed in.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { UNKNOWN_KEY_MS } from "../../shared/limits.ts";

/** A failed key counts once in the time for which failed keys are added up (failed-key-count.ts). */
const COUNTED_MS = 60_000;

export type KeyFault = "unknown" | "expired";

export class RefusedKeys {
  readonly #countedAt: BoundedMap<string, number>;
  readonly #keys: BoundedMap<string, { readonly fault: KeyFault; readonly notedAt: number }>;

  constructor(maxKeys: number) {
    this.#countedAt = new BoundedMap(maxKeys);
    this.#keys = new BoundedMap(maxKeys);
  }

  get size(): number {
    return this.#keys.size;
  }

  /** @param name of the key and the secret that was sent */
  note(name: string, fault: KeyFault, now: number): void {
    this.#keys.set(name, { fault, notedAt: now });
  }

  /** Whether a failed key is to be counted: once a minute, or one forgotten device would block its whole address. */
  counts(name: string, now: number): boolean {
    const countedAt = this.#countedAt.get(name);
    if (countedAt !== undefined && now >= countedAt && now < countedAt + COUNTED_MS) return false;
    this.#countedAt.set(name, now);
    return true;
  }

  /** Null if the key wasn't refused, or too long ago. */
  find(name: string, now: number): KeyFault | null {
    const known = this.#keys.get(name);
    if (known === undefined) return null;
    // After a step back of the clock, the time of the note can lie in the future.
    if (now >= known.notedAt && now < known.notedAt + UNKNOWN_KEY_MS) return known.fault;
    this.#keys.delete(name);
    return null;
  }
}
