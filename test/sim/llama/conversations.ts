// Streams kept under a client's `X-Conversation-Id` and replayed to anyone with the key (README): a trap for
// a proxy that passes client headers on.

/** Everything a kept stream has said, and who still listens. */
export class KeptStream {
  #said: string[] = [];
  #done = false;
  #listeners: ((text: string | null) => void)[] = [];

  append(text: string): void {
    this.#said.push(text);
    for (const listener of this.#listeners) listener(text);
  }

  finish(): void {
    this.#done = true;
    for (const listener of this.#listeners) listener(null);
  }

  /** Replays what was said and goes on live; null is the end. */
  listen(listener: (text: string | null) => void): void {
    for (const text of this.#said) listener(text);
    if (this.#done) listener(null);
    else this.#listeners.push(listener);
  }
}

export class Conversations {
  readonly #kept = new Map<string, KeptStream>();

  /** One stream a conversation: a new one takes the place of the old. */
  keep(id: string): KeptStream {
    const stream = new KeptStream();
    this.#kept.set(id, stream);
    return stream;
  }

  find(id: string): KeptStream | undefined {
    return this.#kept.get(id);
  }
}
