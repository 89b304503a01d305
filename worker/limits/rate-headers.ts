// What an answer tells of the limits: `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11
// (May 2026) writes them, and the set that OpenAI's clients read.
import type { Left } from "./lease.ts";

/** A limit as its answer tells of it. */
export interface LimitStatus extends Left {
  readonly perSecond: number;
}

/** The limits a request was counted in; null where one doesn't hold for it. */
export interface LimitStatuses {
  readonly key: LimitStatus | null;
  readonly address: LimitStatus | null;
}

/** Pages of other sites may read them. */
export const RATE_HEADERS = [
  "ratelimit-policy",
  "ratelimit",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
] as const;

export function setRateHeaders(headers: Headers, { key, address }: LimitStatuses): void {
  // OpenAI's set has one limit: the one that is nearer to being reached.
  const near = key === null || (address !== null && address.remaining < key.remaining) ? address : key;
  if (near === null) return;
  headers.set("ratelimit-policy", list(key, address, policy));
  headers.set("ratelimit", list(key, address, limit));
  headers.set("x-ratelimit-limit-requests", String(near.perSecond));
  headers.set("x-ratelimit-remaining-requests", String(near.remaining));
  headers.set("x-ratelimit-reset-requests", duration(near.resetMs));
}

type Item = (name: string, told: LimitStatus) => string;

/** A structured field's list (RFC 9651). */
function list(key: LimitStatus | null, address: LimitStatus | null, item: Item): string {
  if (key === null) return address === null ? "" : item("address", address);
  return address === null ? item("key", key) : `${item("key", key)}, ${item("address", address)}`;
}

function policy(name: string, { perSecond }: LimitStatus): string {
  return `"${name}";q=${perSecond};w=1`;
}

/** Whole seconds until there is more: a window is one, so it is one. */
function limit(name: string, { remaining, resetMs }: LimitStatus): string {
  return `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`;
}

/** As OpenAI writes it: `1s`, `120ms`. */
function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
