// One try of a call at one server: sends it, hands the answer to the client as it comes, and says in one
// value what became of it. It decides nothing about what follows.
import type { ServerResponse } from "node:http";
import { DIALECT_PATHS, type Call } from "../shared/call-headers.ts";
import type { Refusal } from "../shared/errors.ts";
import { openSink, type AnswerSink } from "./answer.ts";
import { UNREADABLE, type AnswerFormat } from "./formats/format.ts";
import type { PortFate } from "./port-plan.ts";
import { spliceFields } from "./splice.ts";
import { readUpstreamError } from "./upstream-errors.ts";
import type { AnswerListener, Exchange, Upstream, UpstreamFailure } from "./upstreams.ts";

/** An error body is read no further than this; llama-server's are a few hundred bytes unless they echo. */
const MAX_ERROR_BYTES = 64 * 1024;

/** What one try came to. */
export type AttemptEnd =
  | { readonly kind: "answered" }
  /** The port can't take calls now; nothing was begun. */
  | { readonly kind: "not-up"; readonly fate: PortFate }
  /** The connection had died before the server read anything: send again on a fresh one. */
  | { readonly kind: "stale" }
  | { readonly kind: "failed"; readonly refusal: Refusal }
  /** Ended from outside; the signal's reason says why. */
  | { readonly kind: "aborted" };

export interface AttemptInput {
  readonly call: Call;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly format: AnswerFormat;
  readonly box: string;
  readonly upstream: Upstream;
  readonly queueMs: number;
  readonly signal: AbortSignal;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  /** On a connection of its own. */
  readonly fresh: boolean;
}

/** Sends a call to a server and waits until that try is over. */
export function attempt(input: AttemptInput): Promise<AttemptEnd> {
  const body = spliceFields(input.body, requestFields(input));
  if (body === null) return Promise.resolve({ kind: "failed", refusal: NOT_AN_OBJECT });
  return new Promise((resolve) => {
    new Attempt(input, resolve).send(body);
  });
}

class Attempt implements AnswerListener {
  readonly #input: AttemptInput;
  readonly #resolve: (end: AttemptEnd) => void;
  readonly #sentAt: number;
  #exchange: Exchange | null = null;
  #sink: AnswerSink | null = null;
  #status = 0;
  #errorBody: Buffer[] = [];
  #errorBytes = 0;

  constructor(input: AttemptInput, resolve: (end: AttemptEnd) => void) {
    this.#input = input;
    this.#resolve = resolve;
    this.#sentAt = input.clock();
  }

  send(body: Buffer): void {
    const { call, upstream, signal, response, fresh } = this.#input;
    this.#exchange = upstream.send(
      { path: DIALECT_PATHS[call.dialect], body, stream: call.stream, fresh },
      this,
    );
    response.on("drain", this.#resume);
    signal.addEventListener("abort", this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  head(status: number, contentType: string): void {
    const { call, response, format, upstream, box, queueMs, clock } = this.#input;
    this.#status = status;
    if (status !== 200) return;
    const { port } = upstream.server;
    if (!contentType.startsWith(call.stream ? "text/event-stream" : "application/json")) {
      this.#fail({ ...UNREADABLE, internal: `port ${port} sent another content type` });
      return;
    }
    this.#sink = openSink(call, response, format, {
      facts: { box, port, queueMs, fallbackFrom: port === call.wantedPort ? null : call.wantedPort },
      server: upstream.server,
      simulated: upstream.simulated,
      upstreamMs: Math.round(clock() - this.#sentAt),
    });
  }

  data(chunk: Buffer): boolean {
    if (this.#sink === null) {
      if (this.#errorBytes < MAX_ERROR_BYTES) this.#errorBody.push(chunk);
      this.#errorBytes += chunk.length;
      return true;
    }
    const taken = this.#sink.data(chunk);
    if ("more" in taken) return taken.more;
    this.#fail(taken.fail);
    return true;
  }

  end(): void {
    if (this.#sink !== null) {
      const refusal = this.#sink.end();
      this.#settle(refusal === null ? { kind: "answered" } : { kind: "failed", refusal });
      return;
    }
    const verdict = readUpstreamError(
      this.#status,
      Buffer.concat(this.#errorBody),
      this.#input.upstream.server.port,
    );
    this.#settle(
      verdict.kind === "loading"
        ? { kind: "not-up", fate: "loading" }
        : { kind: "failed", refusal: verdict.refusal },
    );
  }

  failed(failure: UpstreamFailure): void {
    switch (failure) {
      case "refused":
        return this.#settle({ kind: "not-up", fate: "refused" });
      case "stale":
        return this.#settle({ kind: "stale" });
      case "broken":
        return this.#settle({
          kind: "failed",
          refusal: {
            ...CONNECTION_BROKE,
            internal: `port ${this.#input.upstream.server.port} broke the connection`,
          },
        });
    }
  }

  readonly #resume = (): void => this.#exchange?.resume();

  readonly #abort = (): void => {
    this.#exchange?.abort();
    this.#settle({ kind: "aborted" });
  };

  #fail(refusal: Refusal): void {
    this.#exchange?.abort();
    this.#settle({ kind: "failed", refusal });
  }

  #settle(end: AttemptEnd): void {
    this.#input.signal.removeEventListener("abort", this.#abort);
    this.#input.response.removeListener("drain", this.#resume);
    this.#resolve(end);
  }
}

/**
 * The edge's fields, the format's own, and ours: the cap this very server allows, and no say for the client
 * over slots and cache, since a slot's cache can hold another patient's words.
 */
function requestFields({ call, upstream, format }: AttemptInput): Record<string, unknown> {
  const wanted = call.set["n_predict"];
  const cap = upstream.server.maxTokens;
  return {
    ...call.set,
    ...format.requestFields(call.stream),
    n_predict: typeof wanted === "number" && wanted > 0 ? Math.min(wanted, cap) : cap,
    cache_prompt: false,
    id_slot: -1,
  };
}

const NOT_AN_OBJECT: Refusal = {
  code: "invalid_json",
  message: "The body is not a JSON object.",
  internal: "the edge let a body through that isn't an object",
};

const CONNECTION_BROKE: Refusal = {
  code: "upstream_failed",
  message: "The model server broke off before its answer was whole. Ask again.",
};
