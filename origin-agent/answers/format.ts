// Defines an answer format: how llama-server's answer becomes the client's, how its tokens are read, and whether it can be
// continued. Each format is one value, chosen once per call (dialects.ts).
import type { Refusal } from "../../shared/errors.ts";
import type { Counts, Timings } from "./answer-json.ts";
import type { Continuation } from "./continuation.ts";
import type { StreamRecorder } from "./recorder.ts";

/** Facts about an answer that formats may include in it. */
export interface AnswerFacts {
  readonly box: string;
  /** The fleet file's port of the server that answers. */
  readonly port: number;
  readonly queueMs: number;
  /** The requested port if another one answers, else null. */
  readonly fallbackFrom: number | null;
  /** The agent type that the edge resolved the call to. */
  readonly agentType: string;
}

/** Translates a stream's complete events into the client's bytes. */
export interface StreamTranslator {
  /**
   * @param events one or more complete events.
   * @returns what to write for them (possibly nothing), or the error that ends the stream.
   */
  push(events: Buffer): { readonly write: Buffer | string } | { readonly fail: Refusal };
  /** Whether a text-only event passes unchanged; such events needn't be pushed. */
  readonly passesText: boolean;
  /** Whether the answer has ended properly. A stream that closes before that is broken. */
  readonly complete: boolean;
  /** Replaces the facts when another server continues the answer. */
  readonly continueWith?: (facts: AnswerFacts) => void;
}

/** A complete JSON answer. */
export interface JsonAnswer {
  /** What the client gets. */
  readonly written: Buffer | string;
  readonly counts: Counts | null;
  readonly timings: Timings | null;
  /** The texts of the choices that `counts` doesn't cover. */
  readonly otherChoiceTexts: readonly string[];
}

export interface AnswerFormat {
  /** Fields that this format needs in the request, written last. */
  readonly requestFields: (stream: boolean) => Readonly<Record<string, unknown>>;
  /** Null if this dialect has no streams. */
  readonly streaming: {
    readonly translator: (facts: AnswerFacts) => StreamTranslator;
    readonly recorder: () => StreamRecorder;
    /** Null if no server can finish an answer that another one began. */
    readonly continuation: Continuation | null;
  } | null;
  /** Reads and translates a complete JSON answer; null if it isn't one. */
  readonly json: (body: Buffer, facts: AnswerFacts, choices: number) => JsonAnswer | null;
  /** The largest valid answer to a body of that size, for dialects that generate no tokens. */
  readonly answerBytes?: (bodyBytes: number) => number;
}

/** Replaces an error that a server sends after a 200: its own text can echo a prompt. */
export const ERROR_IN_STREAM: Refusal = {
  code: "upstream_failed",
  message:
    "The model server failed while it was answering. The answer so far is incomplete. Send the request again.",
  internal: "an error event in a stream",
};

/** A 200 whose body is no answer. */
export const UNREADABLE: Refusal = {
  code: "upstream_failed",
  message: "The model server sent an answer that could not be read. Send the request again.",
  internal: "an unreadable answer",
};
