// What to do with a call whose server broke off: send it again, let another server of the model finish it,
// close it, or tell the client. Pure decisions; the one who carries the call performs them.
import type { Refusal } from "../../shared/errors.ts";
import { MAX_RETRIES_A_CALL } from "../../shared/limits.ts";
import type { Delivered } from "../answers/stream.ts";

/** How a try ended before its answer was whole. */
export type BreakCause =
  /** The connection broke: the server died, or was killed. */
  | "died"
  /** It stopped producing tokens, or went silent. */
  | "stalled"
  /** What it sent can't be an answer. */
  | "rubbish";

export interface BrokenCall {
  readonly cause: BreakCause;
  readonly delivered: Delivered;
  /** The edge's word: one choice of plain text, no tools, no schema, no log-probabilities. */
  readonly continuable: boolean;
  /** What went by was one choice's plain text: no reasoning, no tool call. */
  readonly plain: boolean;
  /** Servers that died while they had this call, this time included. */
  readonly deaths: number;
  /** Times this call has been sent again already. */
  readonly retries: number;
  /** Whether the box's budget has a retry left. */
  readonly budget: boolean;
}

export type Recovery =
  /** Once the first try is proved ended: the whole call again. */
  | { readonly kind: "replay" }
  /** A server of the same model goes on from the text so far. */
  | { readonly kind: "continue" }
  /** Nothing is missing but the closing events: no server is asked. */
  | { readonly kind: "close" }
  | { readonly kind: "give-up"; readonly refusal: Refusal };

/** A request that was in flight at this many server deaths may be what kills them, and is never sent again. */
const POISON_DEATHS = 2;

export function recover(call: BrokenCall): Recovery {
  if (call.delivered === "text") return { kind: "close" };
  if (call.deaths >= POISON_DEATHS) return giveUp(POISONED, "two servers died on it");
  const ended = call.cause === "stalled" ? STALLED : BROKE_OFF;
  if (call.delivered === "part" && !(call.continuable && call.plain))
    return giveUp(call.cause === "stalled" ? STALLED : NOT_CONTINUABLE, "not continuable");
  if (call.cause === "rubbish" && call.delivered === "part") return giveUp(ended, "rubbish in mid-answer");
  if (call.retries >= MAX_RETRIES_A_CALL) return giveUp(ended, "sent again as often as may be");
  if (!call.budget) return giveUp(ended, "the box's retry budget is spent");
  return call.delivered === "part" ? { kind: "continue" } : { kind: "replay" };
}

function giveUp(refusal: Refusal, internal: string): Recovery {
  return { kind: "give-up", refusal: { ...refusal, internal } };
}

const POISONED: Refusal = {
  code: "upstream_failed",
  message:
    "The model server failed on this request twice, so it is not sent again. Change the request; others are fine.",
};

const NOT_CONTINUABLE: Refusal = {
  code: "upstream_failed",
  message:
    "The model server stopped in the middle of an answer that no other can finish (tools, a schema, reasoning, log-probabilities or " +
    "several choices). What came so far is not the whole answer; ask again.",
};

const STALLED: Refusal = {
  code: "upstream_timeout",
  message:
    "The model server stopped producing text and didn't go on. What came so far is not the whole answer; ask again.",
};

export const BROKE_OFF: Refusal = {
  code: "upstream_failed",
  message: "The model server stopped before its answer was whole. Ask again.",
};
