// One client's answer: when its headers go out, what keeps it from falling silent, and the one shape each
// thing has at each point: a status before the headers, an event or an error object after them. It knows
// nothing of servers; whoever carries the call tells it what happens.
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import {
  AGENT_HEADER,
  CODE_HEADER,
  STARTED_HEADER,
  type ANSWER_HEADERS,
  type Call,
} from "../../shared/call-headers.ts";
import { ERRORS, errorBody, errorEvent, retryHeaders, type Refusal } from "../../shared/errors.ts";
import type { Server } from "../../shared/fleet.ts";
import {
  COMMENT_INTERVAL_MS,
  JSON_HEADERS_AFTER_MS,
  JSON_SPACE_INTERVAL_MS,
  RETRY_AFTER_MAX_S,
  RETRY_AFTER_MIN_S,
  STREAM_HEADERS_AFTER_MS,
} from "../../shared/limits.ts";
import type { AnswerFacts } from "./format.ts";
import { canChunk, endChunks, leaveChunksToUs, writeChunk } from "./http-chunks.ts";

/** Who answers, as the answer's headers say it. */
export interface AnswerSource {
  readonly facts: AnswerFacts;
  readonly server: Server;
  readonly simulated: boolean;
  /** From the request's sending to the server's first byte, milliseconds. */
  readonly upstreamMs: number;
}

type AnswerHeader =
  | (typeof ANSWER_HEADERS)[number]
  | typeof AGENT_HEADER
  | typeof STARTED_HEADER
  | typeof CODE_HEADER;

export class ClientAnswer {
  readonly #response: ServerResponse;
  readonly #call: Pick<Call, "requestId" | "stream">;
  readonly #box: string;
  #source: AnswerSource | null = null;
  /** When the call was accepted: from here the headers' time counts. */
  #acceptedAt: number | null = null;
  #lastWriteAt = 0;
  /** Whether the chunks of the body are ours to write (`http-chunks.ts`). */
  #chunked = false;
  #over = false;

  constructor(response: ServerResponse, call: Pick<Call, "requestId" | "stream">, box: string) {
    this.#response = response;
    this.#call = call;
    this.#box = box;
  }

  /** Whether anything has reached the client: from then on no status can be told any more. */
  get begun(): boolean {
    return this.#response.headersSent;
  }

  get over(): boolean {
    return this.#over;
  }

  /** The call will be served unless something breaks. */
  accept(now: number): void {
    this.#acceptedAt ??= now;
  }

  /**
   * A server has begun to answer. A stream's headers go out; where they are out already, a comment says what
   * they couldn't.
   */
  begin(source: AnswerSource, now: number): void {
    const first = this.#source === null;
    this.#source = source;
    if (!this.#call.stream) return;
    if (!this.begun) this.#sendHeaders(now);
    else if (first) this.write(`: isha ${JSON.stringify(inBand(source))}\n\n`, now);
  }

  /** @returns false where the client takes no more for now: wait for the response's `drain`. */
  write(bytes: Buffer | string, now: number): boolean {
    if (bytes.length === 0 || this.#over) return true;
    this.#lastWriteAt = now;
    return this.#chunked ? writeChunk(this.#response, bytes) : this.#response.write(bytes);
  }

  /** The stream is whole. */
  endStream(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#chunked) endChunks(this.#response);
    else this.#response.end();
  }

  /** The JSON answer is whole. */
  endJson(body: Buffer | string): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.begun) {
      this.#response.writeHead(
        200,
        this.#answerHeaders({
          "content-type": JSON_TYPE,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
        }),
      );
    }
    this.#response.end(body);
  }

  /**
   * There is no answer, or no whole one.
   * @param started whether a server may have begun the call: the edge asks another box only where it hasn't.
   */
  fail(refusal: Refusal, started: boolean): void {
    if (this.#over) return;
    this.#over = true;
    if (this.begun) {
      const said = this.#call.stream ? errorEvent(refusal, this.#call.requestId) : this.#errorJson(refusal);
      if (this.#chunked) endChunks(this.#response, said);
      else this.#response.end(said);
      return;
    }
    const body = this.#errorJson(refusal);
    this.#response.writeHead(ERRORS[refusal.code].status, {
      "content-type": JSON_TYPE,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      [AGENT_HEADER]: this.#box,
      [STARTED_HEADER]: started ? "1" : "0",
      [CODE_HEADER]: refusal.code,
      ...retryHeaders(refusal, { minS: RETRY_AFTER_MIN_S, maxS: RETRY_AFTER_MAX_S }),
    } satisfies OutgoingHttpHeaders);
    this.#response.end(body);
  }

  /** The client is gone: nothing more will be written. */
  leave(): void {
    this.#over = true;
  }

  /**
   * Breaks a silence. Through Workers a departed client is noticed only at a write, and Cloudflare ends calls
   * that say nothing for 100 s: so a stream gets its headers within two seconds and then a comment a second,
   * a JSON answer its headers after 50 s and then a space every ten, which parsers skip.
   */
  tick(now: number): void {
    if (this.#over || this.#acceptedAt === null) return;
    if (!this.begun) {
      const due = this.#call.stream ? STREAM_HEADERS_AFTER_MS : JSON_HEADERS_AFTER_MS;
      if (now - this.#acceptedAt < due) return;
      this.#sendHeaders(now);
      // Node holds headers back until there is a body; these are wanted now.
      this.write(this.#call.stream ? COMMENT : " ", now);
      return;
    }
    const interval = this.#call.stream ? COMMENT_INTERVAL_MS : JSON_SPACE_INTERVAL_MS;
    if (now - this.#lastWriteAt >= interval && !this.#response.writableNeedDrain) {
      this.write(this.#call.stream ? COMMENT : " ", now);
    }
  }

  #sendHeaders(now: number): void {
    this.#lastWriteAt = now;
    this.#chunked = this.#call.stream && canChunk(this.#response);
    const headers: OutgoingHttpHeaders = this.#call.stream
      ? { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" }
      : { "content-type": JSON_TYPE, "cache-control": "no-store" };
    if (this.#chunked) headers["transfer-encoding"] = "chunked";
    this.#response.writeHead(200, this.#answerHeaders(headers));
    if (this.#chunked) leaveChunksToUs(this.#response);
  }

  /** Adds what every answer says of itself. */
  #answerHeaders(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    const said: Partial<Record<AnswerHeader, string>> = headers as Partial<Record<AnswerHeader, string>>;
    said[AGENT_HEADER] = this.#box;
    said[STARTED_HEADER] = "1";
    said["x-isha-box"] = this.#box;
    if (this.#source === null) return headers;
    const { facts, server, simulated, upstreamMs } = this.#source;
    said["x-isha-port"] = String(facts.port);
    said["x-isha-model"] = server.file;
    said["x-isha-queue-ms"] = String(facts.queueMs);
    said["server-timing"] = `queue;dur=${facts.queueMs}, upstream;dur=${upstreamMs}`;
    if (facts.fallbackFrom !== null) said["x-isha-fallback-from"] = String(facts.fallbackFrom);
    if (simulated) said["x-isha-simulated"] = "1";
    return headers;
  }

  #errorJson(refusal: Refusal): string {
    return JSON.stringify(errorBody(refusal, this.#call.requestId));
  }
}

const JSON_TYPE = "application/json; charset=utf-8";
const COMMENT = ":\n\n";

function inBand({ facts, server }: AnswerSource): Readonly<Record<string, unknown>> {
  return {
    port: facts.port,
    box: facts.box,
    model: server.file,
    queue_ms: facts.queueMs,
    fallback_from: facts.fallbackFrom,
  };
}
