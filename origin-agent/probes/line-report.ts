// Lines that come in a burst and belong together: a report is over when no more of them come. A program that
// prints one again and again marks neither its beginning nor its end.

/** Most lines kept of one report; a box has a handful of cards and processes. */
const MAX_LINES = 1_024;

export class LineReport<T> {
  readonly #clock: () => number;
  readonly #quietMs: number;
  #lines: T[] = [];
  #timer: NodeJS.Timeout | undefined;
  last: { readonly items: readonly T[]; readonly at: number } | null = null;

  constructor(clock: () => number, quietMs: number) {
    this.#clock = clock;
    this.#quietMs = quietMs;
  }

  add(line: T): void {
    if (this.#lines.length < MAX_LINES) this.#lines.push(line);
    this.#timer ??= setTimeout(() => this.end(), this.#quietMs).unref();
    this.#timer.refresh();
  }

  /** What has come so far is the report; nothing is none. */
  end(): void {
    if (this.#lines.length > 0) this.set(this.#lines);
  }

  set(items: readonly T[]): void {
    this.drop();
    this.last = { items, at: this.#clock() };
  }

  /** Forgets a report that was cut off. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lines = [];
  }

  youngerThan(ms: number): { readonly items: readonly T[]; readonly at: number } | null {
    return this.last !== null && this.#clock() - this.last.at < ms ? this.last : null;
  }
}
