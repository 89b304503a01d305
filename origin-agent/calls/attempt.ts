// Tries a call once at one server: sends it, passes the answer on as it arrives, and returns the result as one value.
// It doesn't decide what follows.
import type { ServerResponse } from "node:http";
import { DIALECT_PATHS, type Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES } from "../../shared/limits.ts";
import { parseAnswer, readCounts, readTimings, type Counts, type Timings } from "../answers/answer-json.ts";
import type { AnswerStream } from "../answers/stream.ts";
import type { AnswerSource, ClientAnswer } from "../answers/client-answer.ts";
import type { ContinuedEvents } from "../answers/continuation.ts";
import type { Grant } from "../servers/running-call.ts";
import { EventSplitter } from "../answers/sse.ts";
import { otherChoiceTexts } from "../answers/choice-tokens.ts";
import type { AnswerFacts, AnswerFormat } from "../answers/format.ts";
import type { BreakCause } from "./recovery.ts";
import { spliceFields } from "./body-fields.ts";
import { readUpstreamError } from "./upstream-errors.ts";
import type { AnswerListener, Exchange, UpstreamFailure } from "../servers/upstream-sockets.ts";

/** Limit for reading an error body; llama-server's are a few hundred bytes unless they echo the request. */
const MAX_ERROR_BYTES = 64 * 1024;

/** The result of one try. */
export type AttemptEnd =
  | {
      readonly kind: "answered";
      readonly counts: Counts | null;
      readonly timings: Timings | null;
      /** The texts of the choices that `counts` doesn't cover; null if they weren't kept. */
      readonly otherChoiceTexts: readonly string[] | null;
    }
  /** The port can't take calls now; no work was begun. */
  | { readonly kind: "not-up"; readonly fate: "refused" | "loading" }
  /** The connection died before the server read anything: send again on a new one. */
  | { readonly kind: "stale" }
  /** The server understood the request and rejected it. */
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "broken"; readonly cause: BreakCause; readonly why: string }
  /** Ended from outside; the reason is the signal's. */
  | { readonly kind: "aborted" };

export interface AttemptInput {
  readonly call: Call;
  readonly body: Buffer;
  readonly grant: Grant;
  /** Fields that the agent sets for this call, written last. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly response: ServerResponse;
  readonly answer: ClientAnswer;
  readonly format: AnswerFormat;
  readonly facts: AnswerFacts;
  /** Null if the call isn't streamed. */
  readonly stream: AnswerStream | null;
  readonly continued: ContinuedEvents | null;
  /** Called when bytes of an answer arrive. */
  readonly onFirstByte: () => void;
  readonly signal: AbortSignal;
  /** Monotonic. */
  readonly clock: () => number;
}

/**
 * Sends a call to the granted server and waits until the try has ended.
 * @param connection a kept-alive connection, or a new one.
 */
export function attempt(input: AttemptInput, connection: "kept" | "fresh"): Promise<AttemptEnd> {
  const body = spliceFields(input.body, input.fields);
  if (body === null) return Promise.resolve({ kind: "refused", refusal: NOT_AN_OBJECT });
  return new Promise((resolve) => {
    new Attempt(input, resolve).send(body, connection === "fresh");
  });
}

class Attempt implements AnswerListener {
  readonly #input: AttemptInput;
  readonly #resolve: (end: AttemptEnd) => void;
  readonly #sentAt: number;
  readonly #events = new EventSplitter(MAX_EVENT_BYTES);
  #exchange: Exchange | null = null;
  #status = 0;
  /** The body of an error or of an unstreamed answer. */
  #body: Buffer[] = [];
  #bodyBytes = 0;
  #settled = false;

  constructor(input: AttemptInput, resolve: (end: AttemptEnd) => void) {
    this.#input = input;
    this.#resolve = resolve;
    this.#sentAt = input.clock();
  }

  send(body: Buffer, fresh: boolean): void {
    const { call, grant, signal, response } = this.#input;
    this.#exchange = grant.upstream.send(
      { path: DIALECT_PATHS[call.dialect], body, stream: call.stream, fresh },
      this,
    );
    response.on("drain", this.#resume);
    signal.addEventListener("abort", this.#abort, { once: true });
    grant.watch(() => this.#break("stalled", "no token for too long"));
    if (signal.aborted) this.#abort();
  }

  head(status: number, contentType: string): void {
    const { call, stream, clock } = this.#input;
    this.#status = status;
    if (status !== 200) return;
    if (!contentType.startsWith(call.stream ? "text/event-stream" : "application/json")) {
      this.#break("malformed", "wrong content type");
      return;
    }
    stream?.begin(this.#source(), clock());
  }

  data(chunk: Buffer): boolean {
    const { grant, stream, continued, clock, onFirstByte } = this.#input;
    const now = clock();
    grant.progressed(now);
    if (this.#status !== 200) return this.#keepError(chunk);
    onFirstByte();
    if (stream === null) return this.#keep(chunk);
    const events = this.#events.push(chunk);
    if (events === "too-long") return this.#break("malformed", `an event of over ${MAX_EVENT_BYTES} bytes`);
    if (events.length === 0) return true;
    const pushed = stream.push(events, continued, now);
    return pushed.kind === "passed" ? pushed.more : this.#break("malformed", pushed.why);
  }

  end(): void {
    const { stream } = this.#input;
    if (this.#status !== 200) this.#endError();
    else if (stream === null) this.#endJson();
    else if (stream.complete && !this.#events.partial) {
      this.#input.answer.endStream();
      const { counts, timings } = stream.recorder;
      this.#settle({
        kind: "answered",
        counts,
        timings,
        otherChoiceTexts: stream.recorder.otherChoiceTexts(),
      });
    } else this.#break("died", "the stream closed before its end");
  }

  failed(failure: UpstreamFailure): void {
    if (failure === "refused") this.#settle({ kind: "not-up", fate: "refused" });
    else if (failure === "stale") this.#settle({ kind: "stale" });
    else this.#break("died", "the connection broke");
  }

  #endError(): void {
    const { port } = this.#input.grant.upstream.server;
    const verdict = readUpstreamError(this.#status, Buffer.concat(this.#body), port);
    this.#settle(
      verdict.kind === "loading"
        ? { kind: "not-up", fate: "loading" }
        : { kind: "refused", refusal: verdict.refusal },
    );
  }

  #endJson(): void {
    const { format, facts, answer, clock } = this.#input;
    const [only] = this.#body;
    const body = this.#body.length === 1 && only !== undefined ? only : Buffer.concat(this.#body);
    const answered = parseAnswer(body.toString("utf8"));
    const written = answered === null ? null : format.json(body, answered, facts);
    if (answered === null || written === null) {
      this.#break("malformed", "an unreadable answer");
      return;
    }
    answer.begin(this.#source(), clock());
    answer.endJson(written);
    this.#settle({
      kind: "answered",
      counts: readCounts(answered),
      timings: readTimings(answered),
      otherChoiceTexts: otherChoiceTexts(answered),
    });
  }

  #keep(chunk: Buffer): boolean {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > MAX_ANSWER_BYTES)
      return this.#break("malformed", `an answer of over ${MAX_ANSWER_BYTES} bytes`);
    this.#body.push(chunk);
    return true;
  }

  /** Keeps the body of an error; one that exceeds the limit is cut off and handled as it is. */
  #keepError(chunk: Buffer): boolean {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes <= MAX_ERROR_BYTES) {
      this.#body.push(chunk);
      return true;
    }
    this.#exchange?.abort();
    this.#endError();
    return true;
  }

  #source(): AnswerSource {
    const { grant, facts, clock } = this.#input;
    const { server, simulated } = grant.upstream;
    return { facts, server, simulated, upstreamMs: Math.round(clock() - this.#sentAt) };
  }

  readonly #resume = (): void => this.#exchange?.resume();

  readonly #abort = (): void => {
    this.#exchange?.abort();
    this.#settle({ kind: "aborted" });
  };

  #break(cause: BreakCause, why: string): true {
    this.#exchange?.abort();
    this.#settle({ kind: "broken", cause, why });
    return true;
  }

  #settle(end: AttemptEnd): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#input.signal.removeEventListener("abort", this.#abort);
    this.#input.response.removeListener("drain", this.#resume);
    this.#resolve(end);
  }
}

const NOT_AN_OBJECT: Refusal = {
  code: "invalid_json",
  message: "The body is not a JSON object.",
  internal: "the edge accepted a body that isn't a JSON object",
};
