// Computes the pause before the next try of something that failed: exponential back-off, with jitter for clients that
// could all return at the same time. Pure; the randomness is passed in.
import { RETRY_AFTER_MAX_S } from "./limits.ts";

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Doubles with each failure, from `minMs` to `maxMs`.
 * @param failures in a row, this one included; Infinity for the longest pause.
 */
export function backoffMs({ minMs, maxMs }: Backoff, failures: number): number {
  return Math.min(minMs * 2 ** Math.max(failures - 1, 0), maxMs);
}

/**
 * Between half of the pause and all of it, so that clients which lost a service together don't return together.
 * @param random from 0 to below 1
 */
export function jittered(ms: number, random: number): number {
  return ms * (0.5 + random / 2);
}

/**
 * The time for `Retry-After`: from the given one, before which a retry is useless, to half as long again, and at most
 * 120 s. `retryHeaders` applies it to every refusal, so a refusal states the plain time.
 * @param random from 0 to below 1
 */
export function retryAfterMs(ms: number, random: number): number {
  const atMost = RETRY_AFTER_MAX_S * 1000;
  const least = Math.min(Math.max(ms, 1), atMost / 1.5);
  return Math.min(Math.ceil(least * (1 + random / 2)), atMost);
}
