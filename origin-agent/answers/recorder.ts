// Watches a chat stream go by and keeps what recovery and usage need: the text so far, the answer's identity,
// its counts. It changes nothing. Most events are one token: those cost two searches and a slice, no parsing.
import {
  parseAnswer,
  readCounts,
  readTimings,
  saidBesideText,
  type AnswerJson,
  type Counts,
  type Timings,
} from "./answer-json.ts";
import { eventData } from "./sse.ts";
import { KeptText } from "./text-buffer.ts";

/** How an answer is known: what every event of it repeats. */
export interface AnswerIdentity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** How llama-server writes an event of nothing but text (transcript `chat-stream`); its text follows. */
const TEXT_EVENT = Buffer.from('data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"');
/** What follows the text. Inside a JSON string its quotes would be escaped, so it can't stand there. */
const TEXT_END = Buffer.from('"}}],"created"');
const EVENT_END = Buffer.from("\n\n");

export class ChatRecorder {
  readonly #maxBytes: number;
  #text = new KeptText();
  /** By choice, what is none of the first one's text. */
  readonly #apart = new Map<number, KeptText>();
  /** The choice that the last event was of; after its end, the one that the counts are of. */
  #speaker = 0;
  #counted = 0;
  #bytes = 0;
  #overflowed = false;
  #identity: AnswerIdentity | null = null;
  #plain = true;
  #finish: string | null = null;
  #counts: Counts | null = null;
  #timings: Timings | null = null;
  #done = false;
  #textEvents = 0;

  /** @param maxBytes of text kept; past it the answer can't be continued, nor its choices be counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get identity(): AnswerIdentity | null {
    return this.#identity;
  }

  /** Whether all that went by was one choice's text: no reasoning, no tool call, no log-probabilities. */
  get plain(): boolean {
    return this.#plain && !this.#overflowed;
  }

  /** The last choice's finish reason, once an event said it. */
  get finish(): string | null {
    return this.#finish;
  }

  /** Events that carried text: about as many tokens. */
  get textEvents(): number {
    return this.#textEvents;
  }

  get counts(): Counts | null {
    return this.#counts;
  }

  get timings(): Timings | null {
    return this.#timings;
  }

  /** Whether `[DONE]` went by. */
  get done(): boolean {
    return this.#done;
  }

  /** The first choice's text so far. Joined and unescaped only when asked for: after a break, or for an estimate. */
  text(): string {
    return this.#text.text();
  }

  /** What every choice said but the one that `counts` counts; null where that was let go. */
  otherTexts(): readonly string[] | null {
    if (this.#overflowed) return null;
    const others = new Set([0, ...this.#apart.keys()]);
    others.delete(this.#counted);
    return [...others].map((index) => {
      const apart = this.#apart.get(index)?.text() ?? "";
      return index === 0 ? this.text() + apart : apart;
    });
  }

  /** Takes a single event that is nothing but text. @returns false, and has taken nothing, where it is anything else. */
  pushText(whole: Buffer): boolean {
    return (
      whole.indexOf(EVENT_END, TEXT_EVENT.length) === whole.length - EVENT_END.length &&
      this.#textEvent(whole, 0, whole.length)
    );
  }

  /** Takes one or more whole events. @returns false, and has taken none, where one of them can't be read. */
  push(whole: Buffer): boolean {
    const read: ReadEvent[] = [];
    for (let start = 0, end = 0; start < whole.length; start = end) {
      end = endOfEvent(whole, start);
      if (isText(whole, start, end)) continue;
      const event = readEvent(whole.subarray(start, end));
      if (event === null) return false;
      read.push(event);
    }
    for (let start = 0, end = 0, at = 0; start < whole.length; start = end) {
      end = endOfEvent(whole, start);
      if (!isText(whole, start, end)) this.#take(read[at++] ?? []);
      else if (!this.#textEvent(whole, start, end)) this.#take(readEvent(whole.subarray(start, end)) ?? []);
    }
    return true;
  }

  #textEvent(whole: Buffer, start: number, end: number): boolean {
    if (this.#identity === null || !isText(whole, start, end)) return false;
    const from = start + TEXT_EVENT.length;
    const to = whole.indexOf(TEXT_END, from);
    // With `timings_per_token` or logprobs more follows the text: looked at in full.
    if (to < 0 || to >= end || this.#finish !== null) return false;
    this.#keep(whole, from, to, this.#text);
    return true;
  }

  #keep(event: Buffer, from: number, to: number, kept: KeptText): void {
    this.#textEvents += 1;
    this.#bytes += to - from;
    if (this.#bytes > this.#maxBytes) {
      this.#overflowed = true;
      this.#text = new KeptText();
      this.#apart.clear();
    }
    if (!this.#overflowed) kept.push(event, from, to);
  }

  #keepText(text: string, kept: KeptText): void {
    if (text === "") return;
    const escaped = Buffer.from(JSON.stringify(text).slice(1, -1));
    this.#keep(escaped, 0, escaped.length, kept);
  }

  #apartFrom(index: number): KeptText {
    const kept = this.#apart.get(index) ?? new KeptText();
    if (!this.#overflowed) this.#apart.set(index, kept);
    return kept;
  }

  #take(event: ReadEvent): void {
    for (const part of event) {
      if (part === DONE) this.#done = true;
      else this.#note(part);
    }
  }

  #note(event: AnswerJson): void {
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
      this.#speaker = index;
      const text = typeof content === "string" ? content : "";
      this.#keepText(text, index === 0 ? this.#text : this.#apartFrom(index));
      const further = saidBesideText(others);
      if (further !== "") this.#keepText(further, this.#apartFrom(index));
      if (typeof choice.finish_reason === "string") this.#finish = choice.finish_reason;
    }
    const counts = readCounts(event);
    if (counts === null) return;
    this.#counts = counts;
    this.#counted = this.#speaker;
  }
}

/** The parts of one event, in order. */
type ReadEvent = readonly (AnswerJson | typeof DONE)[];

const DONE = "[DONE]";

/** Null where it isn't what a server may send. */
function readEvent(event: Buffer): ReadEvent | null {
  const parts: (AnswerJson | typeof DONE)[] = [];
  for (const data of eventData(event)) {
    const part = data === DONE ? DONE : parseAnswer(data);
    if (part === null) return null;
    parts.push(part);
  }
  return parts;
}

function endOfEvent(whole: Buffer, start: number): number {
  const found = whole.indexOf(EVENT_END, start);
  return found < 0 ? whole.length : found + EVENT_END.length;
}

/** Whether an event begins as one of nothing but text does. */
function isText(whole: Buffer, start: number, end: number): boolean {
  const from = start + TEXT_EVENT.length;
  return from < end && whole.compare(TEXT_EVENT, 0, TEXT_EVENT.length, start, from) === 0;
}
