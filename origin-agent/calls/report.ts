// Describes how a call ended. Everything that happens at the end of a call (journal, metrics, log, link) reads this
// report and nothing else of the call's run.
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Outcome } from "../../shared/usage.ts";
import type { Counts } from "../answers/answer-json.ts";

/** The abort reason of a call whose client disconnected; every other abort reason is the refusal to send. */
export const CLIENT_LEFT: Refusal = { code: "internal", message: "The client left." };

/** How a call ended: the source of its log line, its metrics and its usage record. */
export interface CallReport {
  readonly outcome: "answered" | "refused" | "left";
  /** The port of the last server the call was sent to. */
  readonly port: number | null;
  readonly refusal: Refusal | null;
  /** Time until the call got its first slot, in ms. */
  readonly queueMs: number;
  /** Time until the first byte of an answer arrived, in ms; null if none did. */
  readonly firstByteMs: number | null;
  readonly replays: number;
  readonly continuations: number;
  /** The token counts llama-server reported; it counts one choice only. */
  readonly counts: Counts | null;
  /** Estimated tokens of the choices that `counts` doesn't cover. */
  readonly otherChoiceTokens: number;
  /** Tokens decoded of an incomplete answer, as far as they were observed. */
  readonly estimate: number | null;
  /** Prompt tokens, by `/slots` or by the body's size; null if no server got the call. */
  readonly promptEstimate: number | null;
}

/** Runs once at the end of every call; `ms` is the time from the call's arrival to its end. */
export type CallObserver = (call: Call, report: CallReport, ms: number) => void;

/** The outcome under which a call appears in its usage record, its log line and the metrics. */
export function outcomeOf({ outcome, refusal }: Pick<CallReport, "outcome" | "refusal">): Outcome {
  if (outcome === "answered") return "complete";
  if (outcome === "left") return "aborted";
  if (refusal?.code === "deadline_exceeded") return "expired";
  return refusal?.code === "upstream_failed" || refusal?.code === "upstream_timeout" ? "broken" : "refused";
}
