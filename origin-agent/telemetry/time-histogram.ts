// Counts times in buckets that grow by a tenth each, so that the quantiles of an hour of calls need a few dozen numbers
// and can be merged. A quantile is off by at most 5 %. Pure.

const GROWTH = Math.log(1.1);

/** Over ten days; anything longer counts as this. */
const MAX_BUCKET = 216;

export class TimeHistogram {
  readonly #counts = new Map<number, number>();
  #total = 0;

  add(ms: number): void {
    const bucket = Math.min(MAX_BUCKET, Math.max(0, Math.round(Math.log(Math.max(1, ms)) / GROWTH)));
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.#total += 1;
  }

  merge(other: TimeHistogram): void {
    for (const [bucket, count] of other.#counts)
      this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + count);
    this.#total += other.#total;
  }

  /** The time that at least `share` of the times don't exceed, in milliseconds; null if there are none. */
  quantile(share: number): number | null {
    let seen = 0;
    for (const [bucket, count] of [...this.#counts].toSorted(([a], [b]) => a - b)) {
      seen += count;
      if (seen >= share * this.#total) return Math.round(Math.exp(bucket * GROWTH));
    }
    return null;
  }
}
