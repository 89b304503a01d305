// What a format is: how llama-server's answer becomes the client's. One value a format, chosen once a call.
import type { Refusal } from "../../shared/errors.ts";
import type { AnswerJson } from "./answer-json.ts";

/** What the agent knows of an answer beside its bytes; shown where the format has a place for it. */
export interface AnswerFacts {
  readonly box: string;
  /** The fleet file's port of the server that answers. */
  readonly port: number;
  readonly queueMs: number;
  /** The port that was asked for, where another one answers. */
  readonly fallbackFrom: number | null;
}

/** Turns a stream's whole events into what the client gets. */
export interface StreamTranslator {
  /**
   * @param whole one or more whole events.
   * @returns what to write for them (may be nothing), or why the stream must end with an error.
   */
  push(whole: Buffer): { readonly write: Buffer | string } | { readonly fail: Refusal };
  /** Whether an event of nothing but text passes as it is: then it needn't be given. */
  readonly passesText: boolean;
  /** Whether the answer has come to its proper end. A stream that closes before is a broken one. */
  readonly complete: boolean;
}

export interface AnswerFormat {
  /** Fields this format needs in the request, written last. */
  readonly requestFields: (stream: boolean) => Readonly<Record<string, unknown>>;
  readonly stream: (facts: AnswerFacts) => StreamTranslator;
  /**
   * A whole JSON answer, or null where it isn't one.
   * @param parsed what `body` says: it is parsed once a call.
   */
  readonly json: (body: Buffer, parsed: AnswerJson, facts: AnswerFacts) => Buffer | string | null;
}

/** A server that sends an error after a 200: its text can echo a prompt, so ours stands in for it. */
export const ERROR_IN_STREAM: Refusal = {
  code: "upstream_failed",
  message:
    "The model server failed while it was answering. What came so far is not the whole answer; ask again.",
  internal: "an error event in a stream",
};

/** A 200 whose body is no answer. */
export const UNREADABLE: Refusal = {
  code: "upstream_failed",
  message: "The model server sent an answer that could not be read. Ask again.",
  internal: "an unreadable answer",
};
