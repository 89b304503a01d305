// Counts each key's calls on this box, waiting or running, for the limit `concurrent`. Each count is released exactly
// once, however the call ends; keys without a call are forgotten.

export class KeyConcurrency {
  readonly #byKey = new Map<string, number>();

  of(keyId: string): number {
    return this.#byKey.get(keyId) ?? 0;
  }

  /** Number of keys with a call here. */
  get keys(): number {
    return this.#byKey.size;
  }

  /**
   * Counts a call.
   * @param most the key's limit; null for none
   * @returns a function that releases the count (once, however often it is called); null if the limit is reached
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
