// Passes one call's stream to the client, from one or more servers: records complete events, translates them into the
// client's format, and detects malformed ones.
import type { Delivered, StreamRecorder } from "./recorder.ts";
import type { AnswerSource, ClientAnswer } from "./client-answer.ts";
import type { ContinuedEvents } from "./continuation.ts";
import type { AnswerFormat, StreamTranslator } from "./format.ts";

/** Whether events were passed on, or why they are malformed (a fixed text, never their content). */
export type Pushed =
  | { readonly kind: "passed"; readonly more: boolean }
  | { readonly kind: "malformed"; readonly why: string };

export class AnswerStream {
  readonly recorder: StreamRecorder;
  readonly #streaming: NonNullable<AnswerFormat["streaming"]>;
  readonly #answer: ClientAnswer;
  #translator: StreamTranslator | null = null;

  constructor(streaming: NonNullable<AnswerFormat["streaming"]>, answer: ClientAnswer) {
    this.#streaming = streaming;
    this.recorder = streaming.recorder();
    this.#answer = answer;
  }

  /** How much of the answer has reached the client. */
  get delivered(): Delivered {
    return this.recorder.delivered;
  }

  /** Whether the stream has ended properly. */
  get complete(): boolean {
    return this.#translator?.complete ?? false;
  }

  /** Marks that a server begins to answer: the first one, or one that continues. */
  begin(source: AnswerSource, now: number): void {
    if (this.#translator === null) this.#translator = this.#streaming.translator(source.facts);
    else this.#translator.continueWith?.(source.facts);
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
