// The stream of one call on its way to the client, over as many servers as it takes: whole events, watched by
// the recorder, translated into the client's format. It says when what came can't be an answer.
import { MAX_CONTINUED_BYTES } from "../../shared/limits.ts";
import { ChatRecorder } from "./recorder.ts";
import type { AnswerSource, ClientAnswer } from "./client-answer.ts";
import type { ContinuedEvents } from "./continuation.ts";
import type { AnswerFormat, StreamTranslator } from "./format.ts";

/** How much of the answer has reached the client. */
export type Delivered =
  /** Nothing of it; headers and comments don't count. */
  | "nothing"
  /** Some of its events. */
  | "part"
  /** All of its text, and why it ended; the closing events are missing. */
  | "text";

/** What became of some events: passed on, or why they can't be part of an answer (a tag, none of their text). */
export type Pushed =
  | { readonly kind: "passed"; readonly more: boolean }
  | { readonly kind: "rubbish"; readonly why: string };

export class AnswerStream {
  readonly recorder = new ChatRecorder(MAX_CONTINUED_BYTES);
  readonly #format: AnswerFormat;
  readonly #answer: ClientAnswer;
  #translator: StreamTranslator | null = null;

  constructor(format: AnswerFormat, answer: ClientAnswer) {
    this.#format = format;
    this.#answer = answer;
  }

  /** How much of the answer the client has. */
  get delivered(): Delivered {
    if (this.recorder.finish !== null) return "text";
    return this.recorder.identity === null ? "nothing" : "part";
  }

  /** Whether the stream has come to its proper end. */
  get complete(): boolean {
    return this.#translator?.complete ?? false;
  }

  /** A server begins to answer, the first one or one that goes on. */
  begin(source: AnswerSource, now: number): void {
    this.#translator ??= this.#format.stream(source.facts);
    this.#answer.begin(source, now);
  }

  /**
   * Takes whole events of a server's.
   * @param continued what makes them the rest of an answer that another server began; null for the first.
   */
  push(whole: Buffer, continued: ContinuedEvents | null, now: number): Pushed {
    const events = continued === null ? whole : continued.push(whole);
    if (events === null) return { kind: "rubbish", why: "no continuation of the text so far" };
    if (events.length === 0 || this.#translator === null) return { kind: "passed", more: true };
    if (this.#translator.passesText && this.recorder.pushText(events)) {
      return { kind: "passed", more: this.#answer.write(events, now) };
    }
    const translated = this.#translator.push(events);
    if ("fail" in translated) return { kind: "rubbish", why: translated.fail.internal ?? "unreadable" };
    if (!this.recorder.push(events)) return { kind: "rubbish", why: "an event that can't be read" };
    return { kind: "passed", more: this.#answer.write(translated.write, now) };
  }
}
