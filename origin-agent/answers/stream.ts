// Passes one call's stream to the client, from one or more servers: records complete events, translates them into the
// client's format, and detects malformed ones.
import { MAX_CONTINUED_BYTES } from "../../shared/limits.ts";
import { ChatRecorder } from "./recorder.ts";
import type { AnswerSource, ClientAnswer } from "./client-answer.ts";
import type { ContinuedEvents } from "./continuation.ts";
import type { AnswerFormat, StreamTranslator } from "./format.ts";

/** How much of the answer has reached the client. */
export type Delivered =
  /** Nothing; headers and comments don't count. */
  | "nothing"
  /** Some events. */
  | "part"
  /** The whole text and the finish reason; the closing events are missing. */
  | "text";

/** Whether events were passed on, or why they are malformed (a fixed text, never their content). */
export type Pushed =
  | { readonly kind: "passed"; readonly more: boolean }
  | { readonly kind: "malformed"; readonly why: string };

export class AnswerStream {
  readonly recorder = new ChatRecorder(MAX_CONTINUED_BYTES);
  readonly #format: AnswerFormat;
  readonly #answer: ClientAnswer;
  #translator: StreamTranslator | null = null;

  constructor(format: AnswerFormat, answer: ClientAnswer) {
    this.#format = format;
    this.#answer = answer;
  }

  /** How much of the answer has reached the client. */
  get delivered(): Delivered {
    if (this.recorder.finish !== null) return "text";
    return this.recorder.identity === null ? "nothing" : "part";
  }

  /** Whether the stream has ended properly. */
  get complete(): boolean {
    return this.#translator?.complete ?? false;
  }

  /** Marks that a server begins to answer: the first one, or one that continues. */
  begin(source: AnswerSource, now: number): void {
    this.#translator ??= this.#format.stream(source.facts);
    this.#answer.begin(source, now);
  }

  /**
   * Adds complete events from a server.
   * @param continued turns them into the rest of an answer that another server began; null for the first server.
   */
  push(received: Buffer, continued: ContinuedEvents | null, now: number): Pushed {
    const events = continued === null ? received : continued.push(received);
    if (events === null) return { kind: "malformed", why: "no continuation of the text so far" };
    if (events.length === 0 || this.#translator === null) return { kind: "passed", more: true };
    if (this.#translator.passesText && this.recorder.pushText(events)) {
      return { kind: "passed", more: this.#answer.write(events, now) };
    }
    const translated = this.#translator.push(events);
    if ("fail" in translated) return { kind: "malformed", why: translated.fail.internal ?? "unreadable" };
    if (!this.recorder.push(events)) return { kind: "malformed", why: "an event that can't be read" };
    return { kind: "passed", more: this.#answer.write(translated.write, now) };
  }
}
