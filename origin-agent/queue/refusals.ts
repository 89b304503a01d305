// Words the refusals of calls that get no slot: queue full or too long, or their key's limit reached.
import type { RefusalReason } from "./admission.ts";
import type { Refusal } from "../../shared/errors.ts";

export function queueRefusal(reason: RefusalReason, retryAfterMs: number | null): Refusal {
  return {
    code: "overloaded",
    message: WHY_FULL[reason],
    retryAfterMs: retryAfterMs ?? undefined,
    internal: reason,
  };
}

const WHY_FULL: Readonly<Record<RefusalReason, string>> = {
  full: "All places in the queue for this model are taken. Retry after Retry-After.",
  "too-long": "The queue for this model is longer than this call may wait. Retry after Retry-After.",
  "key-share":
    "This API key already has its share of the queue for this model. Wait for its calls to be answered.",
  "too-wide": "No server of this model can give that many answers at once. Request fewer (n).",
};

/** @param serviceMs how long a call takes: by then one of the key's calls should have ended */
export const tooManyCalls = (most: number, serviceMs: number): Refusal => ({
  code: "concurrency_exceeded",
  message:
    most === 1
      ? "This API key may have one call at a time, and one is running. Wait for its answer."
      : `This API key may have ${most} calls at a time, and as many are running. Wait for one of them to be answered.`,
  retryAfterMs: serviceMs,
});

export const REVOKED: Refusal = {
  code: "invalid_key",
  message: "This API key was revoked while the call waited. Ask the service operator for another one.",
  internal: "revoked while it waited",
};

export const WAITED_TOO_LONG: Refusal = {
  code: "overloaded",
  message: "The call reached the longest time that a call may wait for the model. Retry in a few seconds.",
  retryAfterMs: 5_000,
  internal: "queue deadline",
};
