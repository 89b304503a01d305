// Remembers recently revoked keys: calls that the edge admitted before the revocation may still arrive. Pure; the clock
// is passed in.
import { BoundedMap } from "../../shared/bounded-map.ts";

/** How long a key is remembered: the edge admits its calls for at most another second. */
const KEPT_MS = 10_000;

/** Largest number of remembered keys. */
const MAX_KEYS = 1_000;

export class RevokedKeys {
  /** When each key was revoked, by its id. */
  readonly #at = new BoundedMap<string, number>(MAX_KEYS);

  note(keyId: string, now: number): void {
    this.#at.set(keyId, now);
  }

  has(keyId: string, now: number): boolean {
    const at = this.#at.size === 0 ? undefined : this.#at.get(keyId);
    return at !== undefined && now - at < KEPT_MS;
  }
}
