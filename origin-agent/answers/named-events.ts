// Implements the dialects whose streams consist of named events: Anthropic's Messages and OpenAI's Responses. Bytes pass
// unchanged; only the events with counts are parsed. These answers are never continued: their events carry indexes, ids
// and the whole text again, and a second server would begin with events that the client already has.
import { count, isObject, readTimings, type Counts, type Timings } from "./answer-json.ts";
import { ERROR_IN_STREAM, type AnswerFormat, type StreamTranslator } from "./format.ts";
import { parseObject } from "./parse-object.ts";
import type { Delivered, StreamRecorder } from "./recorder.ts";
import { beginsLine, eventData, startsWith } from "./sse.ts";

type Json = Record<string, unknown>;

/** What differs between the two dialects. */
interface NamedDialect {
  /** The last event of a complete stream. */
  readonly end: string;
  /** The names of the events that carry a piece of the answer, and nothing else that is read here. */
  readonly isPiece: (name: string) => boolean;
  /** The object with the counts in the data of an event; null if the event has none. */
  readonly usageOf: (name: string, data: Json) => unknown;
  /** Reads the counts, which can be spread over several events: `usage` has all fields so far. */
  readonly counts: (usage: Json) => Counts | null;
  /** Whether a JSON object is an answer, and not an error in a 200. */
  readonly isAnswer: (answer: Json) => boolean;
}

const EVENT = Buffer.from("event: ");
const EVENT_END = Buffer.from("\n\n");
/** llama-server sends the error of a Responses stream without a name (server-context.cpp, `format_error`). */
const ERROR_EVENTS = ["event: error", 'data: {"error"', 'data: {"type":"error"', "error: {"].map((text) =>
  Buffer.from(text),
);

class NamedPassThrough implements StreamTranslator {
  readonly passesText = true;
  complete = false;
  readonly #end: Buffer;

  constructor({ end }: NamedDialect) {
    this.#end = Buffer.from(`event: ${end}\n`);
  }

  push(events: Buffer): { readonly write: Buffer } | { readonly fail: typeof ERROR_IN_STREAM } {
    if (ERROR_EVENTS.some((start) => beginsLine(events, start))) return { fail: ERROR_IN_STREAM };
    if (beginsLine(events, this.#end)) this.complete = true;
    return { write: events };
  }
}

class NamedRecorder implements StreamRecorder {
  readonly plain = false;
  readonly identity = null;
  readonly finish = null;
  readonly #dialect: NamedDialect;
  readonly #usage: Json = {};
  delivered: Delivered = "nothing";
  textEvents = 0;
  counts: Counts | null = null;
  timings: Timings | null = null;

  constructor(dialect: NamedDialect) {
    this.#dialect = dialect;
  }

  text(): string {
    return "";
  }

  /** There is one choice. */
  otherChoiceTexts(): readonly string[] {
    return [];
  }

  pushText(events: Buffer): boolean {
    if (events.indexOf(EVENT_END) !== events.length - EVENT_END.length) return false;
    if (!this.#dialect.isPiece(nameOf(events))) return false;
    this.#piece();
    return true;
  }

  push(events: Buffer): boolean {
    const read: { readonly name: string; readonly data: Json }[] = [];
    let pieces = 0;
    for (let start = 0, end = 0; start < events.length; start = end) {
      const found = events.indexOf(EVENT_END, start);
      end = found < 0 ? events.length : found + EVENT_END.length;
      const event = events.subarray(start, end);
      const name = nameOf(event);
      if (this.#dialect.isPiece(name)) {
        pieces += 1;
        continue;
      }
      for (const text of eventData(event)) {
        const data = parseObject(text);
        if (data === null || name === "") return false;
        read.push({ name, data });
      }
    }
    for (; pieces > 0; pieces -= 1) this.#piece();
    for (const { name, data } of read) this.#record(name, data);
    return true;
  }

  #piece(): void {
    this.textEvents += 1;
    this.delivered = "part";
  }

  #record(name: string, data: Json): void {
    this.delivered = name === this.#dialect.end || this.delivered === "text" ? "text" : "part";
    const usage = this.#dialect.usageOf(name, data);
    if (isObject(usage)) {
      Object.assign(this.#usage, usage);
      this.counts = this.#dialect.counts(this.#usage);
    }
    const { timings } = data;
    if (isObject(timings)) this.timings = readTimings({ timings });
  }
}

/** The name of an event; empty if it has none. */
function nameOf(event: Buffer): string {
  if (!startsWith(event, EVENT)) return "";
  return event.toString("latin1", EVENT.length, event.indexOf("\n"));
}

function formatOf(dialect: NamedDialect): AnswerFormat {
  return {
    requestFields: () => ({}),
    streaming: {
      translator: () => new NamedPassThrough(dialect),
      recorder: () => new NamedRecorder(dialect),
      continuation: null,
    },
    json: (body) => {
      const answer = parseObject(body.toString("utf8"));
      if (answer === null || !dialect.isAnswer(answer)) return null;
      const { usage } = answer;
      const counts = isObject(usage) ? dialect.counts(usage) : null;
      return { written: body, counts, timings: null, otherChoiceTexts: [] };
    },
  };
}

/** Transcripts `anthropic-messages`, `anthropic-messages-stream`: `input_tokens` leaves out the tokens from the cache. */
export const messages: AnswerFormat = formatOf({
  end: "message_stop",
  isPiece: (name) => name === "content_block_delta",
  usageOf: (name, { message, usage }) =>
    name === "message_start" ? isObject(message) && message["usage"] : usage,
  counts: (usage) => {
    const fresh = count(usage["input_tokens"]);
    const completionTokens = count(usage["output_tokens"]);
    const cachedTokens = count(usage["cache_read_input_tokens"]) ?? 0;
    if (fresh === null || completionTokens === null) return null;
    return { promptTokens: fresh + cachedTokens, cachedTokens, completionTokens };
  },
  isAnswer: ({ type, content }) => type === "message" && Array.isArray(content),
});

/** Transcripts `responses`, `responses-stream`. */
export const responses: AnswerFormat = formatOf({
  end: "response.completed",
  isPiece: (name) => name.startsWith("response.") && name.endsWith(".delta"),
  usageOf: (_name, { response }) => isObject(response) && response["usage"],
  counts: (usage) => {
    const promptTokens = count(usage["input_tokens"]);
    const completionTokens = count(usage["output_tokens"]);
    if (promptTokens === null || completionTokens === null) return null;
    const details = usage["input_tokens_details"];
    const cachedTokens = count(isObject(details) ? details["cached_tokens"] : null) ?? 0;
    return { promptTokens, cachedTokens, completionTokens };
  },
  isAnswer: ({ object, output }) => object === "response" && Array.isArray(output),
});
