// Computes how many tokens per second a server decodes, over the last ten seconds and all its slots, from ended and
// running calls. Pure: counts and times are passed in.

/** The window of the rate: long enough that the start or end of one call barely changes it. */
const WINDOW_MS = 10_000;

/** The sampling interval: running calls are checked this often. */
export const SAMPLE_MS = 1_000;

/** The samples of the window, and the one before it. */
const SAMPLES = WINDOW_MS / SAMPLE_MS + 1;

export class TokenRate {
  #ended = 0;
  /** All tokens counted so far at each time; the oldest first. */
  #samples: { readonly at: number; readonly tokens: number }[] = [];

  /** Counts the tokens of an ended call. */
  ended(tokens: number): void {
    this.#ended += tokens;
  }

  /** @param running tokens that the running calls have decoded so far */
  sample(running: number, now: number): void {
    this.#samples.push({ at: now, tokens: this.#ended + running });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** Tokens per second; null before there are two samples. */
  get perSecond(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return null;
    // The count can fall: a call ended with fewer tokens than its slot had shown, or its server died.
    return (Math.max(0, last.tokens - first.tokens) * 1_000) / (last.at - first.at);
  }
}
