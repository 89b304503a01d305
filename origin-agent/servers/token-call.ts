// A request to one of a server's token routes (`/tokenize` and the like), from its grant to its end. It takes no slot, so it
// proves nothing about decoding, and nothing remains of it.
import type { Grant } from "./running-call.ts";
import type { LiveServer } from "./server.ts";
import type { Upstream } from "./upstream-sockets.ts";

export class TokenCall implements Grant {
  readonly slot = null;
  readonly cachePrompt = false;
  readonly #server: LiveServer;
  #onEnd: ((isServed: boolean) => void) | null;
  #onStall: (() => void) | null = null;

  /** @param onEnd called once; `isServed`: whether it ended successfully. */
  constructor(server: LiveServer, onEnd: (isServed: boolean) => void) {
    this.#server = server;
    this.#onEnd = onEnd;
  }

  get upstream(): Upstream {
    return this.#server.upstream;
  }

  sent(): void {}

  progressed(): void {}

  usage(): null {
    return null;
  }

  watch(onStall: () => void): void {
    this.#onStall = onStall;
  }

  /** Reports that its server has stalled. */
  stalled(): void {
    this.#onStall?.();
  }

  isUp(): Promise<boolean> {
    return this.#server.answersHealth();
  }

  finish(): void {
    this.#end(true);
  }

  refused(fate: "refused" | "loading" | null): void {
    if (fate !== null) this.#server.observe({ kind: "call", fate });
    this.#end(false);
  }

  abandon(fate: "broken" | "stalled" | null): Promise<null> {
    if (fate === "broken") this.#server.observe({ kind: "call", fate });
    this.#end(false);
    return Promise.resolve(null);
  }

  close(): void {
    this.#end(false);
  }

  #end(isServed: boolean): void {
    const onEnd = this.#onEnd;
    this.#onEnd = null;
    onEnd?.(isServed);
  }
}
