// What a limit's refusal means to the client, in the words of the error table.
import type { Refusal } from "../../shared/errors.ts";
import { FAILED_KEYS_A_MINUTE } from "../../shared/limits.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { INVALID } from "../auth/credential.ts";
import type { KeyFault } from "./refused-keys.ts";

export const LIMITER_SILENT: Refusal = {
  code: "limiter_unavailable",
  message: "The limits could not be checked just now, so nothing was let through. Ask again.",
  retryAfterMs: 1_000,
};

const UNKNOWN_KEY: Refusal = { code: "invalid_key", message: INVALID };
const EXPIRED_KEY: Refusal = {
  code: "expired_key",
  message: "This API key has expired. Ask whoever gave it to you for a new one.",
};

export function keyFault(fault: KeyFault): Refusal {
  return fault === "unknown" ? UNKNOWN_KEY : EXPIRED_KEY;
}

export function keyLimitReached(perSecond: number, retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_key",
    message: `This API key may make ${perSecond} requests a second and has made them. Wait for the next second.`,
    retryAfterMs,
  };
}

export function addressLimitReached(perSecond: number, retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_ip",
    message: `Your address may make ${perSecond} requests a second and has made them. Wait for the next second.`,
    retryAfterMs,
  };
}

export function addressShielded(retryAfterMs: number): Refusal {
  return {
    code: "rate_limited_ip",
    message: "Your address sends far more requests than it may. Slow down, then ask again.",
    retryAfterMs,
  };
}

export function tooManyFailedKeys(retryAfterMs: number): Refusal {
  return {
    code: "too_many_failed_keys",
    message: `More than ${FAILED_KEYS_A_MINUTE} API keys from your address were not valid within a minute. Correct the key, then wait as long as Retry-After says.`,
    retryAfterMs,
  };
}

export function quotaExceeded({ limits }: KeyRecord, now: number): Refusal {
  const date = new Date(now);
  const nextMonth = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  return {
    code: "quota_exceeded",
    message: `This API key has used its ${limits.tokensPerMonth ?? 0} tokens of this month; the next begin on ${new Date(nextMonth).toISOString().slice(0, 10)} (UTC). Ask whoever gave it to you for more.`,
  };
}
