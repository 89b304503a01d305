// Defines an answer format: how llama-server's answer becomes the client's. Each format is one value, chosen once per
// call.
import type { Refusal } from "../../shared/errors.ts";
import type { AnswerJson } from "./answer-json.ts";

/** Facts about an answer that formats may include in it. */
export interface AnswerFacts {
  readonly box: string;
  /** The fleet file's port of the server that answers. */
  readonly port: number;
  readonly queueMs: number;
  /** The requested port if another one answers, else null. */
  readonly fallbackFrom: number | null;
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
}

export interface AnswerFormat {
  /** Fields that this format needs in the request, written last. */
  readonly requestFields: (stream: boolean) => Readonly<Record<string, unknown>>;
  readonly stream: (facts: AnswerFacts) => StreamTranslator;
  /**
   * Translates a complete JSON answer; null if it isn't one.
   * @param parsed the parsed `body`: it is parsed once per call.
   */
  readonly json: (body: Buffer, parsed: AnswerJson, facts: AnswerFacts) => Buffer | string | null;
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
