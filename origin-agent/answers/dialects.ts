// The one table of answers by dialect: format, metering, end of a stream, continuation. The keys are those of
// shared/dialects.ts, which has the paths, the use of slots and the format of errors.
import type { Call } from "../../shared/call-headers.ts";
import type { Dialect } from "../../shared/dialects.ts";
import type { AnswerFormat } from "./format.ts";
import { mediczy } from "./mediczy.ts";
import { messages, responses } from "./named-events.ts";
import { completions, openai } from "./openai.ts";
import { applyTemplate, countTokens, detokenize, embeddings, rerank, tokenize } from "./plain-answers.ts";

const ANSWERS: Readonly<Record<Dialect, AnswerFormat>> = {
  chat: openai,
  completions,
  responses,
  messages,
  count_tokens: countTokens,
  embeddings,
  rerank,
  tokenize,
  detokenize,
  apply_template: applyTemplate,
};

/** The format of a call's answer; null if its dialect doesn't have the requested format, or no streams. */
export function answerFormat(call: Pick<Call, "dialect" | "format" | "stream">): AnswerFormat | null {
  const { dialect, format, stream } = call;
  if (format === "mediczy") return dialect === "chat" ? mediczy : null;
  const answer = ANSWERS[dialect];
  return stream && answer.streaming === null ? null : answer;
}
