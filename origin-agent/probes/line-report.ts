// Collects lines that a program prints in a burst into one report, which ends when no more lines arrive. The program
// marks neither the start nor the end of a report. If several reports are read at once because this process or the
// program was late, a later line replaces an earlier one with the same key; a key that is missing from the later
// reports stays until the next report.

/** Maximum number of lines in one report; a box has a handful of cards and processes. */
const MAX_LINES = 1_024;

export interface Report<T> {
  readonly items: readonly T[];
  readonly at: number;
}

export class LineReport<T> {
  readonly #clock: () => number;
  readonly #gapMs: number;
  readonly #keyOf: (line: T) => string;
  /** By key. */
  readonly #lines = new Map<string, T>();
  #timer: NodeJS.Timeout | undefined;
  #last: Report<T> | null = null;

  /**
   * @param gapMs the report ends when no line has arrived for this time
   * @param keyOf identifies what a line is about: a report has one line for each key
   */
  constructor(clock: () => number, gapMs: number, keyOf: (line: T) => string) {
    this.#clock = clock;
    this.#gapMs = gapMs;
    this.#keyOf = keyOf;
  }

  add(line: T): void {
    const key = this.#keyOf(line);
    if (this.#lines.size < MAX_LINES || this.#lines.has(key)) this.#lines.set(key, line);
    this.#timer ??= setTimeout(() => this.end(), this.#gapMs).unref();
    this.#timer.refresh();
  }

  /** Ends the report with the lines that have arrived; without any line there is no report. */
  end(): void {
    if (this.#lines.size > 0) this.set([...this.#lines.values()]);
  }

  set(items: readonly T[]): void {
    this.drop();
    this.#last = { items, at: this.#clock() };
  }

  /** Discards the lines of an incomplete report. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lines.clear();
  }

  /** The last complete report, or null if it is older than `maxAgeMs`. */
  latest(maxAgeMs: number): Report<T> | null {
    return this.#last !== null && this.#clock() - this.#last.at < maxAgeMs ? this.#last : null;
  }
}
