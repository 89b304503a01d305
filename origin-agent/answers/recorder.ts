// Records what recovery and usage need from a chat stream: the text so far, the answer's identity and its counts. It
// changes nothing. Most events carry one token; each costs two searches and a copy, and no parsing.
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

/** The start of llama-server's text-only event (transcript `chat-stream`); the text follows. */
const TEXT_EVENT = Buffer.from('data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"');
/** The bytes after the text. They can't occur inside a JSON string, where their quotes would be escaped. */
const TEXT_END = Buffer.from('"}}],"created"');
const EVENT_END = Buffer.from("\n\n");

export class ChatRecorder {
  readonly #maxBytes: number;
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
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get identity(): AnswerIdentity | null {
    return this.#identity;
  }

  /** Whether the stream so far was one choice's text: no reasoning, no tool call, no log-probabilities. */
  get plain(): boolean {
    return this.#plain && !this.#overflowed;
  }

  /** The last finish reason that an event carried. */
  get finish(): string | null {
    return this.#finish;
  }

  /** The number of events with text, which is about the number of tokens. */
  get textEvents(): number {
    return this.#textEvents;
  }

  get counts(): Counts | null {
    return this.#counts;
  }

  get timings(): Timings | null {
    return this.#timings;
  }

  /** The first choice's text so far. Joined and unescaped only when needed: after a break, or for an estimate. */
  text(): string {
    return this.#text.text();
  }

  /** The text of every choice except the one in `counts`; null if it exceeded the limit. */
  otherChoiceTexts(): readonly string[] | null {
    if (this.#overflowed) return null;
    const others = new Set([0, ...this.#otherText.keys()]);
    others.delete(this.#countedChoice);
    return [...others].map((index) => {
      const other = this.#otherText.get(index)?.text() ?? "";
      return index === 0 ? this.text() + other : other;
    });
  }

  /** Records a single text-only event. @returns false, and records nothing, for any other event. */
  pushText(events: Buffer): boolean {
    return (
      events.indexOf(EVENT_END, TEXT_EVENT.length) === events.length - EVENT_END.length &&
      this.#textEvent(events, 0, events.length)
    );
  }

  /** Records one or more complete events. @returns false, and records none, if one of them can't be read. */
  push(events: Buffer): boolean {
    const read: ReadEvent[] = [];
    for (let start = 0, end = 0; start < events.length; start = end) {
      end = endOfEvent(events, start);
      if (isText(events, start, end)) continue;
      const event = readEvent(events.subarray(start, end));
      if (event === null) return false;
      read.push(event);
    }
    for (let start = 0, end = 0, at = 0; start < events.length; start = end) {
      end = endOfEvent(events, start);
      if (!isText(events, start, end)) this.#recordEvent(read[at++] ?? []);
      else if (!this.#textEvent(events, start, end))
        this.#recordEvent(readEvent(events.subarray(start, end)) ?? []);
    }
    return true;
  }

  #textEvent(events: Buffer, start: number, end: number): boolean {
    if (this.#identity === null || !isText(events, start, end)) return false;
    const from = start + TEXT_EVENT.length;
    const to = events.indexOf(TEXT_END, from);
    // With `timings_per_token` or logprobs, more fields follow the text: the event must be parsed.
    if (to < 0 || to >= end || this.#finish !== null) return false;
    this.#keep(events, from, to, this.#text);
    return true;
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
      const { content, role: _, ...others } = choice.delta ?? {};
      if (Object.keys(others).length > 0 || (event.choices?.length ?? 0) > 1 || "logprobs" in choice)
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
function readEvent(event: Buffer): ReadEvent | null {
  const parts: AnswerJson[] = [];
  for (const data of eventData(event)) {
    if (data === "[DONE]") continue;
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

/** Whether an event begins like a text-only one. */
function isText(events: Buffer, start: number, end: number): boolean {
  const from = start + TEXT_EVENT.length;
  return from < end && events.compare(TEXT_EVENT, 0, TEXT_EVENT.length, start, from) === 0;
}
