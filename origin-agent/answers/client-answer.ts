// Writes one client's answer: sends the headers in time, fills long silences, and reports an error as a status before
// the headers, and as an event or an error object after them. It knows nothing about servers; the code that runs the
// call drives it.
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import {
  AGENT_HEADER,
  CODE_HEADER,
  STARTED_HEADER,
  type ANSWER_HEADERS,
  type Call,
} from "../../shared/call-headers.ts";
import { DIALECTS } from "../../shared/dialects.ts";
import { ERRORS, errorEvent, errorText, type ErrorShape, type Refusal } from "../../shared/errors.ts";
import { retryHeaders } from "../../shared/retry-headers.ts";
import type { Server } from "../../shared/fleet.ts";
import {
  COMMENT_INTERVAL_MS,
  JSON_HEADERS_AFTER_MS,
  JSON_SPACE_INTERVAL_MS,
  STREAM_HEADERS_AFTER_MS,
} from "../../shared/limits.ts";
import type { AnswerFacts } from "./format.ts";
import { canChunk, endChunks, disableNodeChunks, writeChunk } from "./http-chunks.ts";

/** The server that answers, for the answer's headers. */
export interface AnswerSource {
  readonly facts: AnswerFacts;
  readonly server: Server;
  readonly simulated: boolean;
  /** From sending the request to the server's first byte. */
  readonly upstreamMs: number;
}

type AnswerHeader =
  | (typeof ANSWER_HEADERS)[number]
  | typeof AGENT_HEADER
  | typeof STARTED_HEADER
  | typeof CODE_HEADER;

export class ClientAnswer {
  readonly #response: ServerResponse;
  readonly #call: Pick<Call, "requestId" | "stream" | "dialect">;
  readonly #box: string;
  #source: AnswerSource | null = null;
  /** When the call was accepted; the delay of the headers counts from here. */
  #acceptedAt: number | null = null;
  #lastWriteAt = 0;
  /** States what the answer waits for. */
  #waitsFor: (() => string) | null = null;
  /** Whether we write the body's chunks ourselves (`http-chunks.ts`). */
  #chunked = false;
  #over = false;

  constructor(response: ServerResponse, call: Pick<Call, "requestId" | "stream" | "dialect">, box: string) {
    this.#response = response;
    this.#call = call;
    this.#box = box;
  }

  /** Whether the headers were sent: after that the status can't change. */
  get begun(): boolean {
    return this.#response.headersSent;
  }

  /** Marks the call as accepted: it will be served unless something breaks. */
  accept(now: number): void {
    this.#acceptedAt ??= now;
  }

  /** Sets what the comments of a silent stream state. @param text one line, in ASCII. */
  waitsFor(text: () => string): void {
    this.#waitsFor = text;
  }

  /**
   * Marks that a server has begun to answer. Sends a stream's headers; if they were sent before the server was known, a
   * comment carries its details.
   */
  begin(source: AnswerSource, now: number): void {
    const first = this.#source === null;
    this.#source = source;
    if (!this.#call.stream) return;
    if (!this.begun) this.#sendHeaders(now);
    else if (first) this.write(`: isha ${JSON.stringify(inBand(source))}\n\n`, now);
  }

  /** @returns false if the client's buffer is full: wait for the response's `drain`. */
  write(bytes: Buffer | string, now: number): boolean {
    if (bytes.length === 0 || this.#over) return true;
    this.#lastWriteAt = now;
    return this.#chunked ? writeChunk(this.#response, bytes) : this.#response.write(bytes);
  }

  /** Ends a complete stream. */
  endStream(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#chunked) endChunks(this.#response);
    else this.#response.end();
  }

  /** Sends a complete JSON answer. */
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
   * Ends the answer with an error.
   * @param started whether a server may have begun the call: the edge tries another box only if none has.
   */
  fail(refusal: Refusal, started: boolean): void {
    if (this.#over) return;
    this.#over = true;
    if (this.begun) {
      const error = this.#call.stream
        ? errorEvent(refusal, this.#call.requestId, this.#errors)
        : this.#errorJson(refusal);
      if (this.#chunked) endChunks(this.#response, error);
      else this.#response.end(error);
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
      ...retryHeaders(refusal, Math.random()),
    } satisfies OutgoingHttpHeaders);
    this.#response.end(body);
  }

  /** Stops writing: the client has disconnected. */
  leave(): void {
    this.#over = true;
  }

  /**
   * Writes something if the answer has been silent for too long. Through Workers a disconnected client is noticed only
   * by a write, and Cloudflare ends calls that send nothing for 100 s. A stream therefore gets its headers within two
   * seconds and then a comment every second; a JSON answer gets its headers after 50 s and then a space every ten
   * seconds, which parsers skip.
   */
  tick(now: number): void {
    if (this.#over || this.#acceptedAt === null) return;
    if (!this.begun) {
      const due = this.#call.stream ? STREAM_HEADERS_AFTER_MS : JSON_HEADERS_AFTER_MS;
      if (now - this.#acceptedAt < due) return;
      this.#sendHeaders(now);
      // Node sends the headers only with the first bytes of the body.
      this.write(this.#call.stream ? this.#comment() : " ", now);
      return;
    }
    const interval = this.#call.stream ? COMMENT_INTERVAL_MS : JSON_SPACE_INTERVAL_MS;
    if (now - this.#lastWriteAt >= interval && !this.#response.writableNeedDrain) {
      this.write(this.#call.stream ? this.#comment() : " ", now);
    }
  }

  #comment(): string {
    return this.#waitsFor === null ? ":\n\n" : `: ${this.#waitsFor()}\n\n`;
  }

  #sendHeaders(now: number): void {
    this.#lastWriteAt = now;
    this.#chunked = this.#call.stream && canChunk(this.#response);
    const headers: OutgoingHttpHeaders = this.#call.stream
      ? { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" }
      : { "content-type": JSON_TYPE, "cache-control": "no-store" };
    if (this.#chunked) headers["transfer-encoding"] = "chunked";
    this.#response.writeHead(200, this.#answerHeaders(headers));
    if (this.#chunked) disableNodeChunks(this.#response);
  }

  /** Adds the headers that describe the answer's box and server. */
  #answerHeaders(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    const added: Partial<Record<AnswerHeader, string>> = headers as Partial<Record<AnswerHeader, string>>;
    added[AGENT_HEADER] = this.#box;
    added[STARTED_HEADER] = "1";
    added["x-isha-box"] = this.#box;
    if (this.#source === null) {
      if (this.#call.stream && this.#waitsFor !== null)
        added["server-timing"] = `wait;desc="${this.#waitsFor()}"`;
      return headers;
    }
    const { facts, server, simulated, upstreamMs } = this.#source;
    added["x-isha-port"] = String(facts.port);
    added["x-isha-model"] = server.file;
    added["x-isha-queue-ms"] = String(facts.queueMs);
    added["server-timing"] = `queue;dur=${facts.queueMs}, upstream;dur=${upstreamMs}`;
    if (facts.fallbackFrom !== null) added["x-isha-fallback-from"] = String(facts.fallbackFrom);
    if (simulated) added["x-isha-simulated"] = "1";
    return headers;
  }

  get #errors(): ErrorShape {
    return DIALECTS[this.#call.dialect].errors;
  }

  #errorJson(refusal: Refusal): string {
    return errorText(refusal, this.#call.requestId, this.#errors);
  }
}

const JSON_TYPE = "application/json; charset=utf-8";

function inBand({ facts, server }: AnswerSource): Readonly<Record<string, unknown>> {
  return {
    port: facts.port,
    box: facts.box,
    model: server.file,
    queue_ms: facts.queueMs,
    fallback_from: facts.fallbackFrom,
  };
}
