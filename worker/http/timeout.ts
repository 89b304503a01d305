// Limits the wait for work that can't be aborted: an object's answer, the rest of a body.

/** Resolves with the work's result, or with null after `ms`. Rejects if the work rejects. */
export function withTimeout<T>(work: Promise<T>, ms: number): Promise<T | null> {
  // Two promises; a race would create more for each call.
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(null), ms);
    const end = async (): Promise<void> => {
      try {
        resolve(await work);
      } catch (error) {
        reject(error);
      } finally {
        clearTimeout(timer);
      }
    };
    void end();
  });
}

/** A function such as `withTimeout`. */
export type TimeLimit = <T>(work: Promise<T>, ms: number) => Promise<T | null>;

/**
 * Limits the phases of one call, which follow one another, with a single timer: setting and clearing one costs as much as
 * parsing a body. A phase's timer goes on into the next phase; if it fires there, it is set again for what is left.
 */
export class PhaseTimer {
  readonly #clock: () => number;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #dueAt = 0;
  /** Ends the phase that runs; null between phases. */
  #expire: (() => void) | null = null;

  /** @param clock milliseconds */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  readonly limit: TimeLimit = (work, ms) =>
    new Promise((resolve, reject) => {
      const expire = (): void => resolve(null);
      this.#expire = expire;
      this.#dueAt = this.#clock() + ms;
      this.#timer ??= setTimeout(this.#fire, ms);
      const end = async (): Promise<void> => {
        try {
          resolve(await work);
        } catch (error) {
          reject(error);
        } finally {
          if (this.#expire === expire) this.#expire = null;
        }
      };
      void end();
    });

  /** Clears the timer: no phase follows. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  readonly #fire = (): void => {
    this.#timer = null;
    if (this.#expire === null) return;
    const leftMs = this.#dueAt - this.#clock();
    if (leftMs > 0) this.#timer = setTimeout(this.#fire, leftMs);
    else this.#expire();
  };
}
