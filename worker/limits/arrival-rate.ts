// How many requests an isolate lately sees of one name: a rate that forgets. Counting is one addition; the rate is
// worked out where somebody wants to know. Pure, its clock passed in.

/** What came so long ago weighs a third, milliseconds: a third of a window, so that one window's burst isn't the next one's. */
const MEMORY_MS = 300;

export class Demand {
  #perMs = 0;
  #count = 0;
  #since: number;

  constructor(now: number) {
    this.#since = now;
  }

  note(): void {
    this.#count += 1;
  }

  /** Requests a millisecond. */
  rate(now: number): number {
    const elapsed = now - this.#since;
    if (elapsed <= 0) return this.#perMs;
    const weight = 1 - Math.exp(-elapsed / MEMORY_MS);
    this.#perMs += (this.#count / elapsed - this.#perMs) * weight;
    this.#count = 0;
    this.#since = now;
    return this.#perMs;
  }
}
