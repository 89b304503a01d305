// Lines that come in a burst and belong together: a report is over when no more of them come. A program that
// prints one report after another marks neither their beginning nor their end. If several are read at once, because
// this process or the program was late, a later line about the same thing replaces the earlier one; a thing that is
// missing from the later reports stays until the next one.

/** Most lines kept of one report; a box has a handful of cards and processes. */
const MAX_LINES = 1_024;

export class LineReport<T> {
  readonly #clock: () => number;
  readonly #quietMs: number;
  readonly #keyOf: (line: T) => string;
  /** By key. */
  readonly #lines = new Map<string, T>();
  #timer: NodeJS.Timeout | undefined;
  last: { readonly items: readonly T[]; readonly at: number } | null = null;

  /** @param keyOf names the thing a line is about: one report has one line for each. */
  constructor(clock: () => number, quietMs: number, keyOf: (line: T) => string) {
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#keyOf = keyOf;
  }

  add(line: T): void {
    const key = this.#keyOf(line);
    if (this.#lines.size < MAX_LINES || this.#lines.has(key)) this.#lines.set(key, line);
    this.#timer ??= setTimeout(() => this.end(), this.#quietMs).unref();
    this.#timer.refresh();
  }

  /** What has come so far is the report; nothing is none. */
  end(): void {
    if (this.#lines.size > 0) this.set([...this.#lines.values()]);
  }

  set(items: readonly T[]): void {
    this.drop();
    this.last = { items, at: this.#clock() };
  }

  /** Forgets a report that was cut off. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lines.clear();
  }

  youngerThan(ms: number): { readonly items: readonly T[]; readonly at: number } | null {
    return this.last !== null && this.#clock() - this.last.at < ms ? this.last : null;
  }
}
