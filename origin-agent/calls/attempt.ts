// Tries a call once at one server: sends it, passes the answer on as it arrives, and returns the result as one value.
// It doesn't decide what follows.
import type { ServerResponse } from "node:http";
import type { Call } from "../../shared/call-headers.ts";
import { DIALECTS } from "../../shared/dialects.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Counts, Timings } from "../answers/answer-json.ts";
import type { AnswerStream } from "../answers/stream.ts";
import type { AnswerSource, ClientAnswer } from "../answers/client-answer.ts";
import type { ContinuedEvents } from "../answers/continuation.ts";
import type { EndSignal } from "../servers/end-signal.ts";
import type { Grant } from "../servers/running-call.ts";
import { EventSplitter } from "../answers/sse.ts";
import type { AnswerFacts, AnswerFormat } from "../answers/format.ts";
import type { Failure } from "./next-try.ts";
import { spliceFields } from "./body-fields.ts";
import { readUpstreamError } from "./upstream-errors.ts";
import type { AnswerListener, Exchange, UpstreamFailure } from "../servers/upstream-sockets.ts";

/** Limit for reading an error body; llama-server's are a few hundred bytes unless they echo the request. */
const MAX_ERROR_BYTES = 64 * 1024;

/** A reused connection that the server had closed before fails within a round trip of the write. */
const STALE_MS = 50;

/** The result of one try. */
export type AttemptEnd =
  | {
      readonly kind: "answered";
      readonly counts: Counts | null;
      readonly timings: Timings | null;
      /** The texts of the choices that `counts` doesn't cover; null if they weren't kept. */
      readonly otherChoiceTexts: readonly string[] | null;
    }
  /** The server understood the request and rejected it. */
  | { readonly kind: "rejected"; readonly refusal: Refusal }
  /** Ended from outside; the reason is the signal's. */
  | { readonly kind: "aborted" }
  | { readonly kind: "failed"; readonly failure: TryFailure; readonly why: string };

/**
 * `stale`: a reused connection was closed so soon after the write that the server had probably closed it before. `broke`:
 * the connection broke; whether the server died isn't known yet.
 */
export type TryFailure = Exclude<Failure, "died" | "cut" | "uncounted"> | "stale" | "broke";

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
  /** The largest valid answer, and so the largest event of a stream. */
  readonly maxAnswerBytes: number;
  /** Called when the request is written: the server may work on it from then on. */
  readonly onSent: () => void;
  /** Called when bytes of an answer arrive. */
  readonly onFirstByte: () => void;
  readonly signal: EndSignal;
  /** Monotonic. */
  readonly clock: () => number;
}

/**
 * Sends a call to the granted server and waits until the try has ended.
 * @param connection a kept-alive connection, or a new one.
 */
export function attempt(input: AttemptInput, connection: "kept" | "fresh"): Promise<AttemptEnd> {
  const body = spliceFields(input.body, input.fields);
  if (body === null) return Promise.resolve({ kind: "rejected", refusal: NOT_AN_OBJECT });
  return new Promise((resolve, reject) => {
    new Attempt(input, resolve, reject).send(body, connection === "fresh");
  });
}

class Attempt implements AnswerListener {
  readonly #input: AttemptInput;
  readonly #resolve: (end: AttemptEnd) => void;
  readonly #reject: (error: unknown) => void;
  /** Null if the call isn't streamed. */
  readonly #events: EventSplitter | null;
  #sentAt: number;
  #exchange: Exchange | null = null;
  #status = 0;
  /** The body of an error or of an unstreamed answer. */
  #body: Buffer[] = [];
  #bodyBytes = 0;
  /** Whether the client's buffer is full. */
  #isPaused = false;
  #settled = false;

  constructor(input: AttemptInput, resolve: (end: AttemptEnd) => void, reject: (error: unknown) => void) {
    this.#input = input;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#events = input.stream === null ? null : new EventSplitter(input.maxAnswerBytes);
    this.#sentAt = input.clock();
  }

  send(body: Buffer, fresh: boolean): void {
    const { call, grant, signal } = this.#input;
    this.#exchange = grant.upstream.send(
      { path: DIALECTS[call.dialect].path, body, stream: call.stream, fresh },
      this,
    );
    signal.addEventListener("abort", this.#abort, { once: true });
    grant.watch(() => this.#break("stalled", "no answer, byte or token for too long"));
    if (signal.aborted) this.#abort();
  }

  sent(): void {
    this.#sentAt = this.#input.clock();
    this.#input.grant.sent();
    this.#input.onSent();
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
    const { grant, stream, clock, onFirstByte } = this.#input;
    const now = clock();
    grant.progressed(now);
    if (this.#status !== 200) return this.#keepError(chunk);
    onFirstByte();
    if (stream === null || this.#events === null) return this.#keep(chunk);
    const more = this.#push(stream, this.#events.push(chunk), now);
    if (!more) this.#pause();
    return more;
  }

  /** @returns false if the client's buffer is full */
  #push(stream: AnswerStream, events: Buffer | "too-long", now: number): boolean {
    if (events === "too-long") return this.#break("oversized", "an event is too large");
    if (events.length === 0) return true;
    const pushed = stream.push(events, this.#input.continued, now);
    return pushed.kind === "passed" ? pushed.more : this.#break("malformed", pushed.why);
  }

  end(): void {
    const { stream } = this.#input;
    if (this.#status !== 200) this.#endError();
    else if (stream === null) this.#endJson();
    else if (stream.complete && this.#events?.partial === false) {
      this.#input.answer.endStream();
      const { counts, timings } = stream.recorder;
      this.#settle({
        kind: "answered",
        counts,
        timings,
        otherChoiceTexts: stream.recorder.otherChoiceTexts(),
      });
    } else this.#break("broke", "the stream closed before its end");
  }

  failed(failure: UpstreamFailure): void {
    if (failure === "refused") this.#break("refused", "the connection was refused");
    else if (failure === "unconnected") this.#break("unconnected", "no connection was made");
    else if (failure === "unanswered" && this.#input.clock() - this.#sentAt <= STALE_MS)
      this.#break("stale", "a reused connection was closed");
    else this.#break("broke", "the connection broke");
  }

  threw(error: unknown): void {
    if (this.#detach()) this.#reject(error);
  }

  #endError(): void {
    const { port } = this.#input.grant.upstream.server;
    const { suspects = [] } = this.#input.call;
    const verdict = readUpstreamError(this.#status, Buffer.concat(this.#body), port, suspects);
    if (verdict.kind === "loading") this.#break("loading", "the server is loading");
    else this.#settle({ kind: "rejected", refusal: verdict.refusal });
  }

  #endJson(): void {
    const { call, format, facts, answer, clock } = this.#input;
    const [only] = this.#body;
    const body = this.#body.length === 1 && only !== undefined ? only : Buffer.concat(this.#body);
    const read = format.json(body, facts, call.choices);
    if (read === null) {
      this.#break("malformed", "an unreadable answer");
      return;
    }
    answer.begin(this.#source(), clock());
    answer.endJson(read.written);
    const { counts, timings, otherChoiceTexts } = read;
    this.#settle({ kind: "answered", counts, timings, otherChoiceTexts });
  }

  #keep(chunk: Buffer): boolean {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > this.#input.maxAnswerBytes)
      return this.#break("oversized", "the answer is too large");
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

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#input.response.on("drain", this.#resume);
  }

  readonly #resume = (): void => {
    this.#unpause();
    this.#exchange?.resume();
  };

  #unpause(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#input.response.removeListener("drain", this.#resume);
  }

  readonly #abort = (): void => {
    this.#exchange?.abort();
    this.#settle({ kind: "aborted" });
  };

  #break(failure: TryFailure, why: string): true {
    this.#exchange?.abort();
    this.#settle({ kind: "failed", failure, why });
    return true;
  }

  #settle(end: AttemptEnd): void {
    if (this.#detach()) this.#resolve(end);
  }

  /** Stops watching the client and the call. @returns false if the try had ended before */
  #detach(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#input.signal.removeEventListener("abort", this.#abort);
    this.#unpause();
    return true;
  }
}

const NOT_AN_OBJECT: Refusal = {
  code: "invalid_json",
  message: "The body is not a JSON object.",
  internal: "the edge accepted a body that isn't a JSON object",
};
