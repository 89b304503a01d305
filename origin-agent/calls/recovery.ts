// Decides what to do with a call whose server failed: send it again, let another server of the same model finish it,
// close the stream, or report an error. Pure; `run-call.ts` acts on the decision.
import type { Refusal } from "../../shared/errors.ts";
import { MAX_RETRIES_A_CALL } from "../../shared/limits.ts";
import type { Delivered } from "../answers/stream.ts";

/** Why a try ended before its answer was complete. */
export type BreakCause =
  /** The connection broke: the server died or was killed. */
  | "died"
  /** The server stopped producing tokens or sent nothing more. */
  | "stalled"
  /** The server sent something that isn't a valid answer. */
  | "malformed";

export interface BrokenCall {
  readonly cause: BreakCause;
  readonly delivered: Delivered;
  /** The edge found one choice of plain text: no tools, schema or log-probabilities. */
  readonly continuable: boolean;
  /** The stream so far was one choice's plain text: no reasoning, no tool call. */
  readonly plain: boolean;
  /** Servers that died while running this call, including this time. */
  readonly deaths: number;
  /** How often this call has been sent again. */
  readonly retries: number;
  /** Whether the box's budget has a retry left. */
  readonly budget: boolean;
}

export type Recovery =
  /** Send the whole call again, once the first try has provably ended. */
  | { readonly kind: "replay" }
  /** A server of the same model continues the text so far. */
  | { readonly kind: "continue" }
  /** Only the closing events are missing: no server is needed. */
  | { readonly kind: "close" }
  | { readonly kind: "give-up"; readonly refusal: Refusal };

/** A request that was running when this many servers died may be the cause, and is never sent again. */
const POISON_DEATHS = 2;

export function recover(call: BrokenCall): Recovery {
  if (call.delivered === "text") return { kind: "close" };
  if (call.deaths >= POISON_DEATHS) return giveUp(POISONED, "two servers died on it");
  const ended = call.cause === "stalled" ? STALLED : BROKE_OFF;
  if (call.delivered === "part" && !(call.continuable && call.plain))
    return giveUp(call.cause === "stalled" ? STALLED : NOT_CONTINUABLE, "not continuable");
  if (call.cause === "malformed" && call.delivered === "part")
    return giveUp(ended, "malformed data in mid-answer");
  if (call.retries >= MAX_RETRIES_A_CALL) return giveUp(ended, "the call's retries are used up");
  if (!call.budget) return giveUp(ended, "the box's retry budget is used up");
  return call.delivered === "part" ? { kind: "continue" } : { kind: "replay" };
}

function giveUp(refusal: Refusal, internal: string): Recovery {
  return { kind: "give-up", refusal: { ...refusal, internal } };
}

const POISONED: Refusal = {
  code: "upstream_failed",
  message:
    "Two model servers failed while running this request, so it is not sent again. Change the request; other requests are not affected.",
};

const NOT_CONTINUABLE: Refusal = {
  code: "upstream_failed",
  message:
    "The model server stopped in the middle of an answer that no other server can finish (tools, a schema, reasoning, " +
    "log-probabilities or several choices). The answer so far is incomplete. Send the request again.",
};

const STALLED: Refusal = {
  code: "upstream_timeout",
  message:
    "The model server stopped producing text. The answer so far is incomplete. Send the request again.",
};

export const BROKE_OFF: Refusal = {
  code: "upstream_failed",
  message: "The model server stopped before its answer was complete. Send the request again.",
};
