// Records what recovery and usage need from the stream of a chat or a completion: the text so far, the answer's identity
// and its counts. It changes nothing. Most events carry one token; each costs two searches and a copy, and no parsing.
import {
  parseAnswer,
  readCounts,
  readTimings,
  nonContentText,
  type AnswerJson,
  type Counts,
  type Timings,
} from "./answer-json.ts";
import { eventData } from "./sse.ts";
import { TextBuffer } from "./text-buffer.ts";

/** The fields that every event of an answer repeats. */
export interface AnswerIdentity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** How much of an answer has reached the client. */
export type Delivered =
  /** Nothing; headers and comments don't count. */
  | "nothing"
  /** Some events. */
  | "part"
  /** The whole text and the finish reason; the closing events may be missing. */
  | "text";

/** Reads one call's stream while it passes to the client. */
export interface StreamRecorder {
  readonly delivered: Delivered;
  readonly identity: AnswerIdentity | null;
  /** Whether the stream so far was one choice's text: no reasoning, no tool call, no log-probabilities. */
  readonly plain: boolean;
  /** The last finish reason that an event carried. */
  readonly finish: string | null;
  /** The number of events with text, which is about the number of tokens. */
  readonly textEvents: number;
  readonly counts: Counts | null;
  readonly timings: Timings | null;
  /** The first choice's text so far. */
  text(): string;
  /** The text of every choice except the one in `counts`; null if it exceeded the limit. */
  otherChoiceTexts(): readonly string[] | null;
  /** Records a single text-only event. @returns false, and records nothing, for any other event. */
  pushText(events: Buffer): boolean;
  /** Records one or more complete events. @returns false, and records none, if one of them can't be read. */
  push(events: Buffer): boolean;
}

/** The bytes around the text of llama-server's text-only event. */
interface TextFrame {
  readonly start: Buffer;
  /** The bytes after the text. They can't occur inside a JSON string, where their quotes would be escaped. */
  readonly end: Buffer;
  /** The data of an event without content. */
  readonly empty?: string;
}

/** Transcript `chat-stream`. */
const CHAT_FRAME: TextFrame = {
  start: Buffer.from('data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"'),
  end: Buffer.from('"}}],"created"'),
};
/** Transcript `completions-stream`. The stream of several prompts begins with the event `null`. */
export const COMPLETION_FRAME: TextFrame = {
  start: Buffer.from('data: {"choices":[{"text":"'),
  end: Buffer.from('","index":0,"logprobs":null,"finish_reason":null}],"created"'),
  empty: "null",
};
const EVENT_END = Buffer.from("\n\n");

export class ChatRecorder implements StreamRecorder {
  readonly #maxBytes: number;
  readonly #frame: TextFrame;
  #text = new TextBuffer();
  /** Per choice, all generated text except the first choice's content. */
  readonly #otherText = new Map<number, TextBuffer>();
  /** The choice of the last event; when the counts arrive, they belong to this choice. */
  #lastChoice = 0;
  #countedChoice = 0;
  #bytes = 0;
  #overflowed = false;
  #identity: AnswerIdentity | null = null;
  #plain = true;
  #finish: string | null = null;
  #counts: Counts | null = null;
  #timings: Timings | null = null;
  #textEvents = 0;

  /** @param maxBytes limit of the kept text; above it the answer can't be continued and its choices can't be counted. */
  constructor(maxBytes: number, frame: TextFrame = CHAT_FRAME) {
    this.#maxBytes = maxBytes;
    this.#frame = frame;
  }

  get delivered(): Delivered {
    if (this.#finish !== null) return "text";
    return this.#identity === null ? "nothing" : "part";
  }

  get identity(): AnswerIdentity | null {
    return this.#identity;
  }

  get plain(): boolean {
    return this.#plain && !this.#overflowed;
  }

  get finish(): string | null {
    return this.#finish;
  }

  get textEvents(): number {
    return this.#textEvents;
  }

  get counts(): Counts | null {
    return this.#counts;
  }

  get timings(): Timings | null {
    return this.#timings;
  }

  /** Joined and unescaped only when needed: after a break, or for an estimate. */
  text(): string {
    return this.#text.text();
  }

  otherChoiceTexts(): readonly string[] | null {
    if (this.#overflowed) return null;
    const others = new Set([0, ...this.#otherText.keys()]);
    others.delete(this.#countedChoice);
    return [...others].map((index) => {
      const other = this.#otherText.get(index)?.text() ?? "";
      return index === 0 ? this.text() + other : other;
    });
  }

  pushText(events: Buffer): boolean {
    return (
      events.indexOf(EVENT_END, this.#frame.start.length) === events.length - EVENT_END.length &&
      this.#textEvent(events, 0, events.length)
    );
  }

  push(events: Buffer): boolean {
    const read: ReadEvent[] = [];
    for (let start = 0, end = 0; start < events.length; start = end) {
      end = endOfEvent(events, start);
      if (this.#isText(events, start, end)) continue;
      const event = readEvent(events.subarray(start, end), this.#frame);
      if (event === null) return false;
      read.push(event);
    }
    for (let start = 0, end = 0, at = 0; start < events.length; start = end) {
      end = endOfEvent(events, start);
      if (!this.#isText(events, start, end)) this.#recordEvent(read[at++] ?? []);
      else if (!this.#textEvent(events, start, end))
        this.#recordEvent(readEvent(events.subarray(start, end), this.#frame) ?? []);
    }
    return true;
  }

  #textEvent(events: Buffer, start: number, end: number): boolean {
    if (this.#identity === null || !this.#isText(events, start, end)) return false;
    const from = start + this.#frame.start.length;
    const to = events.indexOf(this.#frame.end, from);
    // With `timings_per_token` or logprobs, more fields follow the text: the event must be parsed.
    if (to < 0 || to >= end || this.#finish !== null) return false;
    this.#keep(events, from, to, this.#text);
    return true;
  }

  /** Whether an event begins like a text-only one. */
  #isText(events: Buffer, start: number, end: number): boolean {
    const frame = this.#frame.start;
    const from = start + frame.length;
    return from < end && events.compare(frame, 0, frame.length, start, from) === 0;
  }

  #keep(event: Buffer, from: number, to: number, kept: TextBuffer): void {
    this.#textEvents += 1;
    this.#bytes += to - from;
    if (this.#bytes > this.#maxBytes) {
      this.#overflowed = true;
      this.#text = new TextBuffer();
      this.#otherText.clear();
    }
    if (!this.#overflowed) kept.push(event, from, to);
  }

  #keepText(text: string, kept: TextBuffer): void {
    if (text === "") return;
    const escaped = Buffer.from(JSON.stringify(text).slice(1, -1));
    this.#keep(escaped, 0, escaped.length, kept);
  }

  #otherTextOf(index: number): TextBuffer {
    const kept = this.#otherText.get(index) ?? new TextBuffer();
    if (!this.#overflowed) this.#otherText.set(index, kept);
    return kept;
  }

  #recordEvent(event: ReadEvent): void {
    for (const part of event) this.#recordPart(part);
  }

  #recordPart(event: AnswerJson): void {
    const { id, created, model } = event;
    if (
      this.#identity === null &&
      typeof id === "string" &&
      typeof created === "number" &&
      typeof model === "string"
    ) {
      this.#identity = { id, created, model };
    }
    this.#timings = readTimings(event) ?? this.#timings;
    for (const choice of event.choices ?? []) {
      const { content = choice.text, role: _, ...others } = choice.delta ?? {};
      if (Object.keys(others).length > 0 || (event.choices?.length ?? 0) > 1 || choice.logprobs != null)
        this.#plain = false;
      const index = typeof choice.index === "number" ? choice.index : 0;
      this.#lastChoice = index;
      const text = typeof content === "string" ? content : "";
      this.#keepText(text, index === 0 ? this.#text : this.#otherTextOf(index));
      const nonContent = nonContentText(others);
      if (nonContent !== "") this.#keepText(nonContent, this.#otherTextOf(index));
      if (typeof choice.finish_reason === "string") this.#finish = choice.finish_reason;
    }
    const counts = readCounts(event);
    if (counts === null) return;
    this.#counts = counts;
    this.#countedChoice = this.#lastChoice;
  }
}

/** The parts of one event, in order. */
type ReadEvent = readonly AnswerJson[];

/** @returns null if the event isn't valid. */
function readEvent(event: Buffer, { empty }: TextFrame): ReadEvent | null {
  const parts: AnswerJson[] = [];
  for (const data of eventData(event)) {
    if (data === "[DONE]" || data === empty) continue;
    const part = parseAnswer(data);
    if (part === null) return null;
    parts.push(part);
  }
  return parts;
}

function endOfEvent(events: Buffer, start: number): number {
  const found = events.indexOf(EVENT_END, start);
  return found < 0 ? events.length : found + EVENT_END.length;
}
