// Numbers that look random and repeat for a seed, so that a failing case can be run again.

export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** `length` of these, joined. */
  text(length: number, from: readonly string[]): string {
    return Array.from({ length }, () => this.pick(from)).join("");
  }

  /** The members of a list in another order. */
  shuffled<T>(list: readonly T[]): T[] {
    const left = [...list];
    return Array.from({ length: list.length }, () => left.splice(this.below(left.length), 1)).flat();
  }
}

/** Seeds for `it.each`: few enough to be quick, the same in every run. */
export const SEEDS: readonly number[] = Array.from({ length: 20 }, (_, at) => 1000 + at * 7919);
