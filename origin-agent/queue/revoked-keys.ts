// Keys that were revoked a moment ago: calls of them that the edge let pass before it knew are still on their way
// here. Pure: the clock comes in.
import { BoundedMap } from "../../shared/bounded-map.ts";

/** A key is remembered for so long, milliseconds: the edge admits its calls for a second more at the most. */
const KEPT_MS = 10_000;

/** Most keys remembered at once. */
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
