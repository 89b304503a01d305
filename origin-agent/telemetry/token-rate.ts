// How many tokens a second a server decodes, over the last ten seconds and all its slots: from the calls that ended
// and from what those that run have so far. Pure: it is told both, with the time.

/** Over how long the rate is taken, milliseconds: long enough that one call's beginning or end isn't news. */
const WINDOW_MS = 10_000;

/** Samples come this often, milliseconds: as often as running calls are looked at. */
export const SAMPLE_MS = 1_000;

/** Those of the window, and the one before it. */
const SAMPLES = WINDOW_MS / SAMPLE_MS + 1;

export class TokenRate {
  #ended = 0;
  /** All tokens ever seen, and when; the oldest first. */
  #samples: { readonly at: number; readonly tokens: number }[] = [];

  /** A call ended, and its answer had so many. */
  ended(tokens: number): void {
    this.#ended += tokens;
  }

  /** @param running what the calls that run have decoded so far */
  sample(running: number, now: number): void {
    this.#samples.push({ at: now, tokens: this.#ended + running });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** Tokens a second; null before anything can be said. */
  get perSecond(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return null;
    // Fewer than before: a call ended with less than its slot had shown, or its server died with it.
    return (Math.max(0, last.tokens - first.tokens) * 1_000) / (last.at - first.at);
  }
}
