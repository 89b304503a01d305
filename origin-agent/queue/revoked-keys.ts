// Keys that were revoked a moment ago: calls of them that the edge let pass before it knew are still on their way
// here. Pure: the clock comes in.

/** A key is remembered for so long, milliseconds: the edge admits its calls for a second more at the most. */
const KEPT_MS = 10_000;

/** Most keys remembered at once. */
const MOST = 1_000;

export class RevokedKeys {
  /** By key, when; the oldest first. */
  readonly #at = new Map<string, number>();

  note(keyId: string, now: number): void {
    this.#at.delete(keyId);
    this.#at.set(keyId, now);
    const [oldest] = this.#at.keys();
    if (this.#at.size > MOST && oldest !== undefined) this.#at.delete(oldest);
  }

  has(keyId: string, now: number): boolean {
    const at = this.#at.size === 0 ? undefined : this.#at.get(keyId);
    return at !== undefined && now - at < KEPT_MS;
  }
}
