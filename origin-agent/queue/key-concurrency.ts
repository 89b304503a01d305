// How many calls each key has on this box, waiting or running: what `concurrent` is held to. A count that is taken
// is given back exactly once, whatever way the call ends; keys without a call are forgotten.

export class KeyCalls {
  readonly #byKey = new Map<string, number>();

  of(keyId: string): number {
    return this.#byKey.get(keyId) ?? 0;
  }

  /** Keys that have a call here. */
  get keys(): number {
    return this.#byKey.size;
  }

  /**
   * Counts a call in.
   * @param most calls the key may have; null for no limit
   * @returns what counts it out again, however often it is called; null where the key has as many already
   */
  enter(keyId: string, most: number | null): (() => void) | null {
    const before = this.of(keyId);
    if (most !== null && before >= most) return null;
    this.#byKey.set(keyId, before + 1);
    let counted = true;
    return () => {
      if (!counted) return;
      counted = false;
      const after = this.of(keyId) - 1;
      if (after > 0) this.#byKey.set(keyId, after);
      else this.#byKey.delete(keyId);
    };
  }
}
