// The headers of a refusal that control whether and when a client retries.
import { retryAfterMs } from "./backoff.ts";
import { ERRORS, type Refusal } from "./errors.ts";
import { RETRY_AFTER_MIN_S } from "./limits.ts";

/**
 * Headers that control whether a client retries. OpenAI's and Anthropic's SDKs read `retry-after-ms` and `x-should-retry`
 * before they apply their own rule (retry 408, 409, 429 and ≥ 500). The time is jittered, so that clients which were
 * refused together don't return together.
 * @param random from 0 to below 1
 */
export function retryHeaders(refusal: Refusal, random: number): Record<string, string> {
  const retry = refusal.retry ?? ERRORS[refusal.code].retry;
  if (retry === "never") return { "x-should-retry": "false" };
  if (refusal.retryAfterMs === undefined) return {};
  const ms = retryAfterMs(refusal.retryAfterMs, random);
  const seconds = Math.max(Math.ceil(ms / 1000), RETRY_AFTER_MIN_S);
  return { "retry-after": String(seconds), "retry-after-ms": String(ms) };
}
