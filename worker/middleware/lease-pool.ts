// Tokens an isolate holds of its keys' and addresses' windows, with what their lease told: spent one a
// request, given back where a request was refused for another reason, dead with their window. The clock is
// passed in, always the isolate's own.

/** A token on its way: what its lease told, and when it dies. */
export interface Token<T> {
  readonly value: T;
  readonly endsAt: number;
}

interface Held<T> extends Token<T> {
  readonly tokens: number;
}

export class LeasePool<T> {
  readonly #maxEntries: number;
  readonly #held = new Map<string, Held<T>>();

  /** @param maxEntries for how many names tokens are held at once; those added longest ago go first. */
  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  /** How many names tokens are held for. */
  get size(): number {
    return this.#held.size;
  }

  /** Takes a token that is at hand, or null. */
  take(name: string, now: number): Token<T> | null {
    const held = this.#held.get(name);
    if (held === undefined) return null;
    if (held.tokens > 1 && held.endsAt > now) this.#held.set(name, { ...held, tokens: held.tokens - 1 });
    else this.#held.delete(name);
    return held.endsAt > now ? { value: held.value, endsAt: held.endsAt } : null;
  }

  /** Adds tokens. Of two leases' ends the earlier holds for all: fewer may be used so, never more. */
  add(name: string, token: Token<T>, tokens: number, now: number): void {
    if (tokens < 1 || token.endsAt <= now) return;
    const held = this.#held.get(name);
    const alive = held !== undefined && held.endsAt > now ? held : null;
    this.#held.delete(name);
    this.#held.set(name, {
      value: token.value,
      tokens: tokens + (alive?.tokens ?? 0),
      endsAt: Math.min(token.endsAt, alive?.endsAt ?? token.endsAt),
    });
    this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const name of this.#held.keys()) {
      if (this.#held.size <= this.#maxEntries) return;
      this.#held.delete(name);
    }
  }
}
