// What a call is told that gets no slot: that the queue is full or too long, that its key has as much as it may.
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
  full: "All places in the queue for this model are taken. Ask again after Retry-After.",
  "too-long": "The queue for this model is longer than this call may wait. Ask again after Retry-After.",
  "key-share":
    "This API key holds half of the queue for this model already. Wait for its calls to be answered.",
  "too-wide": "No server of this model gives so many answers at once. Ask for fewer (n).",
};

/** @param serviceMs how long a call takes: by then one of the key's should be over */
export const tooManyCalls = (most: number, serviceMs: number): Refusal => ({
  code: "concurrency_exceeded",
  message:
    most === 1
      ? "This API key may have one call at a time here, and has one. Wait for its answer."
      : `This API key may have ${most} calls at a time here, and has as many. Wait for one of them to be answered.`,
  retryAfterMs: serviceMs,
});

export const REVOKED: Refusal = {
  code: "invalid_key",
  message: "This API key was revoked while the call waited. Ask its operator for another one.",
  internal: "revoked while it waited",
};

export const WAITED_TOO_LONG: Refusal = {
  code: "overloaded",
  message: "The call waited for the model as long as a call may. Ask again in a few seconds.",
  retryAfterMs: 5_000,
  internal: "queue deadline",
};
