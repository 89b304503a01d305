// Refusals of the limits, with the codes of the error table and a text that states what the client can do.
import { dayName, nextMonthStart } from "../../shared/calendar.ts";
import type { Refusal } from "../../shared/errors.ts";
import { FAILED_KEYS_A_MINUTE, KEY_CHECK_WAIT_MS } from "../../shared/limits.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { INVALID } from "../auth/credential.ts";
import type { LimitStatus } from "./rate-headers.ts";

/** The reason for which a key's object refused it. */
export type KeyFault = "unknown" | "expired";

/** A refusal of one limit, with its state for the headers; null if nothing is known of it. */
export interface LimitRefusal {
  readonly ok: false;
  readonly refusal: Refusal;
  readonly status: LimitStatus | null;
}

export const LIMITER_UNAVAILABLE: Refusal = {
  code: "limiter_unavailable",
  message: "The rate limits could not be checked, so the request was not admitted. Try again.",
  retryAfterMs: 1_000,
};

const UNKNOWN_KEY: Refusal = { code: "invalid_key", message: INVALID };
const EXPIRED_KEY: Refusal = {
  code: "expired_key",
  message: "This API key has expired. Ask the service operator for a new one.",
};

export function keyFault(fault: KeyFault): Refusal {
  return fault === "unknown" ? UNKNOWN_KEY : EXPIRED_KEY;
}

export function keyLimitReached(perSecond: number, retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_key",
    message: `This API key has used its ${perSecond} requests of this second. Wait for the next second.`,
    retryAfterMs,
  };
}

export function addressLimitReached(perSecond: number, retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_ip",
    message: `Your address has used its ${perSecond} requests of this second. Wait for the next second.`,
    retryAfterMs,
  };
}

export function addressShielded(retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_ip",
    message: "Your address sends far more requests than its limit. Slow down, then try again.",
    retryAfterMs,
  };
}

export const TOO_MANY_FAILED_KEYS: Refusal = {
  code: "too_many_failed_keys",
  message: `Your address has sent ${FAILED_KEYS_A_MINUTE} or more invalid API keys within a minute, so its keys are checked one at a time, and this key's turn did not come. Find the program that sends the invalid keys, then try again.`,
  retryAfterMs: KEY_CHECK_WAIT_MS,
};

export function quotaExceeded({ limits }: KeyRecord, now: number): Refusal {
  return {
    code: "quota_exceeded",
    message: `This API key has used its ${limits.tokensPerMonth ?? 0} tokens of this month. The next month begins on ${dayName(nextMonthStart(now))} (UTC). Ask the service operator for a higher quota.`,
  };
}
