// Computes what a call is booked as, from its report: its end in the journal. Counts that the server reported are used
// unchanged; missing ones are estimated, and the record is marked as an estimate.
import type { Call } from "../../shared/call-headers.ts";
import { outcomeOf, type CallReport } from "../calls/report.ts";
import type { CallEnd } from "../../shared/usage.ts";

/** @param ms from the call's arrival to its end */
export function callEnd(call: Pick<Call, "choices">, report: CallReport, ms: number): CallEnd {
  const { counts, promptEstimate, continuations } = report;
  const outcome = outcomeOf(report);
  return {
    outcome,
    promptTokens: counts?.promptTokens ?? (outcome === "refused" ? null : promptEstimate),
    cachedTokens: counts?.cachedTokens ?? null,
    completionTokens: answerTokens(report),
    choices: call.choices,
    estimated: counts === null || call.choices > 1 || continuations > 0,
    durationMs: Math.round(ms),
  };
}

/** Tokens of an answer, all choices together; null if unknown. */
export function answerTokens({
  counts,
  otherChoiceTokens,
  estimate,
}: Pick<CallReport, "counts" | "otherChoiceTokens" | "estimate">): number | null {
  // Of several choices llama-server counts only ONE (transcripts `chat-n2`, `completions-prompt-list`).
  return counts === null ? estimate : counts.completionTokens + otherChoiceTokens;
}
