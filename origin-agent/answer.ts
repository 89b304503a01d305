// Writes one answer to one client: a stream event by event, or a JSON body once it is whole. Whatever goes
// wrong is told in the shape the client expects at that point: a status before the headers, an event after.
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import {
  AGENT_HEADER,
  CODE_HEADER,
  STARTED_HEADER,
  type ANSWER_HEADERS,
  type Call,
} from "../shared/call-headers.ts";
import { ERRORS, errorBody, errorEvent, retryHeaders, type Refusal } from "../shared/errors.ts";
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES, RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S } from "../shared/limits.ts";
import { WholeEvents } from "./event-stream.ts";
import { UNREADABLE, type AnswerFacts, type AnswerFormat } from "./formats/format.ts";
import type { Server } from "../shared/fleet.ts";

/** Who answers, as the answer's headers say it. */
export interface AnswerSource {
  readonly facts: AnswerFacts;
  readonly server: Server;
  readonly simulated: boolean;
  /** From the request's sending to the upstream's headers, milliseconds. */
  readonly upstreamMs: number;
}

/** Where an upstream's bytes go. `data` says whether more may come at once. */
export interface AnswerSink {
  data(chunk: Buffer): { readonly more: boolean } | { readonly fail: Refusal };
  /** The upstream closed properly. @returns why the answer isn't whole all the same, or null. */
  end(): Refusal | null;
}

type AnswerHeader = (typeof ANSWER_HEADERS)[number] | typeof AGENT_HEADER | typeof STARTED_HEADER;

function sourceHeaders(source: AnswerSource): Partial<Record<AnswerHeader, string>> {
  const { facts, server } = source;
  return {
    [AGENT_HEADER]: facts.box,
    [STARTED_HEADER]: "1",
    "x-isha-box": facts.box,
    "x-isha-port": String(facts.port),
    "x-isha-model": server.file,
    "x-isha-queue-ms": String(facts.queueMs),
    "server-timing": `queue;dur=${facts.queueMs}, upstream;dur=${source.upstreamMs}`,
    ...(facts.fallbackFrom === null ? {} : { "x-isha-fallback-from": String(facts.fallbackFrom) }),
    ...(source.simulated ? { "x-isha-simulated": "1" } : {}),
  };
}

/** A stream: whole events only, so that a break never leaves half of one with the client. */
export class StreamSink implements AnswerSink {
  readonly #response: ServerResponse;
  readonly #events = new WholeEvents(MAX_EVENT_BYTES);
  readonly #translator: ReturnType<AnswerFormat["stream"]>;
  readonly #source: AnswerSource;

  constructor(response: ServerResponse, format: AnswerFormat, source: AnswerSource) {
    this.#response = response;
    this.#translator = format.stream(source.facts);
    this.#source = source;
  }

  data(chunk: Buffer): { readonly more: boolean } | { readonly fail: Refusal } {
    const whole = this.#events.push(chunk);
    if (whole === "too-long")
      return { fail: { ...UNREADABLE, internal: `an event of over ${MAX_EVENT_BYTES} bytes` } };
    if (whole.length === 0) return { more: true };
    const translated = this.#translator.push(whole);
    if ("fail" in translated) return translated;
    // Not before: a server whose first event is an error can still be told as a status.
    if (!this.#response.headersSent) this.#sendHeaders();
    return { more: translated.write.length === 0 || this.#response.write(translated.write) };
  }

  #sendHeaders(): void {
    this.#response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
      ...sourceHeaders(this.#source),
    } satisfies OutgoingHttpHeaders);
  }

  end(): Refusal | null {
    if (!this.#translator.complete || this.#events.partial) return TRUNCATED;
    this.#response.end();
    return null;
  }
}

const TRUNCATED: Refusal = {
  code: "upstream_failed",
  message:
    "The model server stopped in the middle of its answer. What came so far is not the whole answer; ask again.",
  internal: "the stream closed before its end",
};

/** A JSON answer: held until it is whole, so that a break can still be told as a status. */
export class JsonSink implements AnswerSink {
  readonly #response: ServerResponse;
  readonly #format: AnswerFormat;
  readonly #source: AnswerSource;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(response: ServerResponse, format: AnswerFormat, source: AnswerSource) {
    this.#response = response;
    this.#format = format;
    this.#source = source;
  }

  data(chunk: Buffer): { readonly more: boolean } | { readonly fail: Refusal } {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ANSWER_BYTES)
      return { fail: { ...UNREADABLE, internal: `an answer of over ${MAX_ANSWER_BYTES} bytes` } };
    this.#chunks.push(chunk);
    return { more: true };
  }

  end(): Refusal | null {
    const [first] = this.#chunks;
    const whole = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
    const answer = this.#format.json(whole, this.#source.facts);
    if (answer === null) return UNREADABLE;
    this.#response.writeHead(200, {
      "content-type": "application/json; charset=utf-8",
      "content-length": Buffer.byteLength(answer),
      "cache-control": "no-store",
      ...sourceHeaders(this.#source),
    } satisfies OutgoingHttpHeaders);
    this.#response.end(answer);
    return null;
  }
}

/**
 * Tells a client why there is no answer, or no whole one.
 * @param started whether a server may have begun the call: the edge asks another box only where it hasn't.
 */
export function sendRefusal(
  response: ServerResponse,
  refusal: Refusal,
  about: { readonly requestId: string; readonly box: string; readonly started: boolean },
): void {
  if (response.headersSent) {
    response.end(errorEvent(refusal, about.requestId));
    return;
  }
  const body = JSON.stringify(errorBody(refusal, about.requestId));
  response.writeHead(ERRORS[refusal.code].status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    [AGENT_HEADER]: about.box,
    [STARTED_HEADER]: about.started ? "1" : "0",
    [CODE_HEADER]: refusal.code,
    ...retryHeaders(refusal, { minS: RETRY_AFTER_MIN_S, maxS: RETRY_AFTER_MAX_S }),
  } satisfies OutgoingHttpHeaders);
  response.end(body);
}

/** What a call's answer is written with, by what the client asked for. */
export function openSink(
  call: Pick<Call, "stream">,
  response: ServerResponse,
  format: AnswerFormat,
  source: AnswerSource,
): AnswerSink {
  return call.stream ? new StreamSink(response, format, source) : new JsonSink(response, format, source);
}
