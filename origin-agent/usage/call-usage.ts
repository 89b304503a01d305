// What a call is booked as: one start and one end in the journal, from its report. Counts the server stated
// stand as they are; what it didn't state is estimated, and says so.
import type { Call } from "../../shared/call-headers.ts";
import { outcomeOf, type CallReport } from "../calls/report.ts";
import type { CallEnd } from "../../shared/usage.ts";

/** English has about four characters a token, in any of today's vocabularies; a body has a little beside its words. */
const BODY_BYTES_A_TOKEN = 4;

/**
 * @param bodyBytes of the request: of a call whose server stated nothing they tell how long its prompt was. Left
 *   uncounted, a prompt would cost nothing to whoever leaves after its answer's first word.
 * @param ms from the call's arrival to its end.
 */
export function callEnd(
  call: Pick<Call, "choices">,
  report: CallReport,
  bodyBytes: number,
  ms: number,
): CallEnd {
  const { counts } = report;
  const outcome = outcomeOf(report);
  const durationMs = Math.round(ms);
  if (counts === null) {
    return {
      outcome,
      promptTokens: outcome === "refused" ? null : Math.ceil(bodyBytes / BODY_BYTES_A_TOKEN),
      cachedTokens: null,
      completionTokens: answerTokens(report),
      choices: call.choices,
      estimated: true,
      durationMs,
    };
  }
  return {
    outcome,
    promptTokens: counts.promptTokens,
    cachedTokens: counts.cachedTokens,
    completionTokens: answerTokens(report),
    choices: call.choices,
    estimated: call.choices > 1 || report.continuations > 0,
    durationMs,
  };
}

/** Tokens of an answer, all its choices together; null where nobody knows. */
export function answerTokens({
  counts,
  otherChoiceTokens,
  estimate,
}: Pick<CallReport, "counts" | "otherChoiceTokens" | "estimate">): number | null {
  // llama-server counts ONE choice of several (transcripts `chat-n2`, `completions-prompt-list`).
  return counts === null ? estimate : counts.completionTokens + otherChoiceTokens;
}
