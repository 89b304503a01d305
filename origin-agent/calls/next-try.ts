// Decides what follows a try that didn't answer its call. Pure: `run-call.ts` finds out how the try ended, and acts on
// the decision.
//
// | how the try ended                                   | counts as    | nothing delivered    | a part delivered |
// | --------------------------------------------------- | ------------ | -------------------- | ---------------- |
// | connection refused; 503 while loading               | nothing      | search again         | search the model |
// | no connection within 1 s                            | retry        | replay, another port | continue         |
// | reused connection closed within 50 ms, without byte | nothing      | a fresh connection to the same slot     |
// | … and the fresh connection is refused               | death, retry | replay               | continue         |
// | connection broke later; `/health` answers 200       | retry        | replay               | continue         |
// | connection broke later; `/health` doesn't           | death, retry | replay               | continue         |
// | no answer, byte or token for too long               | retry        | replay               | continue         |
// | not a valid answer                                  | retry        | replay               | error            |
// | an answer larger than its tokens can be             | nothing      | error, never again   | error            |
// | the text so far wasn't counted                      | nothing, ≤ 3 |                      | search the model |
//
// These conditions come first, in this order:
//
// | condition                                           | action                                                 |
// | --------------------------------------------------- | ------------------------------------------------------ |
// | the whole text was delivered                        | the closing events; no server is needed                |
// | two servers died on the call                        | error, never again: its body is refused for 10 minutes |
// | a part was delivered and isn't one plain text       | error                                                  |
// | two retries spent, or the box's budget is used up   | error                                                  |
//
// A replay waits up to 2 s for the proof that the earlier try has ended on the GPU. Without the proof it goes to another
// port if one can take it, and the unproved slot stays taken. A continuation goes to a server of the same model only.
// "Never again" adds `x-should-retry: false`, because SDKs resend a 502.
import type { Refusal } from "../../shared/errors.ts";
import { MAX_RETRIES_A_CALL } from "../../shared/limits.ts";
import type { Delivered } from "../answers/recorder.ts";

/** How a try ended without a whole answer. */
export type Failure =
  /** Nothing listens on the port, or the server is loading: it began no work, and its health shows this. */
  | "refused"
  | "loading"
  /** No connection was made in time. */
  | "unconnected"
  /** The connection broke, and the server doesn't answer `/health`. */
  | "died"
  /** The connection broke, and the server is up. */
  | "cut"
  | "stalled"
  /** The server sent something that isn't a valid answer. */
  | "malformed"
  | "oversized"
  /** The server that should continue the text didn't count its tokens. */
  | "uncounted";

export interface CallSoFar {
  readonly delivered: Delivered;
  /** The edge found one choice of plain text in a chat or completion: no tools, schema or log-probabilities. */
  readonly continuable: boolean;
  /** The stream so far was one choice's plain text: no reasoning, no tool call. */
  readonly plain: boolean;
  /** Servers that died while running this call, including this time. */
  readonly deaths: number;
  /** Retries so far. */
  readonly retries: number;
  /** How often a server didn't count the text so far, including this time. */
  readonly uncounted: number;
  /** Whether the box's budget has a retry left. */
  readonly budget: boolean;
}

export type NextTry =
  /** `replay`: the whole call again. `continue`: a server of the same model continues the text so far. */
  | { readonly kind: "replay" | "continue"; readonly isRetry: boolean }
  /** Only the closing events are missing: no server is needed. */
  | { readonly kind: "close" }
  /** `isPoison`: the request may be the cause of the deaths, and is never sent again. */
  | { readonly kind: "give-up"; readonly refusal: Refusal; readonly isPoison: boolean };

const POISON_DEATHS = 2;

const MAX_UNCOUNTED = 3;

export function nextTry(failure: Failure, call: CallSoFar): NextTry {
  const isPart = call.delivered === "part";
  const kind = isPart ? "continue" : "replay";
  if (call.delivered === "text") return { kind: "close" };
  if (call.deaths >= POISON_DEATHS) {
    return { kind: "give-up", refusal: { ...POISONED, internal: "two servers died on it" }, isPoison: true };
  }
  if (failure === "refused" || failure === "loading") return { kind, isRetry: false };
  if (failure === "oversized") return giveUp(OVERSIZED, "an answer larger than its tokens can be");
  if (failure === "uncounted" && call.uncounted <= MAX_UNCOUNTED) return { kind, isRetry: false };
  if (failure === "uncounted") return giveUp(BROKE_OFF, "the text so far could not be counted");
  if (failure === "malformed" && isPart) return giveUp(BROKE_OFF, "malformed data in mid-answer");
  const ended = failure === "stalled" ? STALLED : BROKE_OFF;
  if (isPart && !(call.continuable && call.plain))
    return giveUp(failure === "stalled" ? STALLED : NOT_CONTINUABLE, "not continuable");
  if (call.retries >= MAX_RETRIES_A_CALL) return giveUp(ended, "the call's retries are used up");
  if (!call.budget) return giveUp(ended, "the box's retry budget is used up");
  return { kind, isRetry: true };
}

function giveUp(refusal: Refusal, internal: string): NextTry {
  return { kind: "give-up", refusal: { ...refusal, internal }, isPoison: false };
}

/** For a request that was in flight at two deaths, and for every request with the same body. */
export const POISONED: Refusal = {
  code: "upstream_failed",
  message:
    "Two model servers failed while running this request, so it is not sent again. Change the request; other requests are not affected.",
  retry: "never",
};

const OVERSIZED: Refusal = {
  code: "upstream_failed",
  message:
    "The model server sent an answer far larger than its token limit allows, so it was dropped. Change the request, for example its schema or its log-probabilities.",
  retry: "never",
};

const NOT_CONTINUABLE: Refusal = {
  code: "upstream_failed",
  message:
    "The model server stopped in the middle of an answer that no other server can finish: only a plain text of a chat or " +
    "a completion can be continued. The answer so far is incomplete. Send the request again.",
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
