// Headers that report the limits to the client: `RateLimit-Policy` and `RateLimit` of
// draft-ietf-httpapi-ratelimit-headers-11 (May 2026), and the set that OpenAI's clients read.

/** The state of one limit at the time of the answer. */
export interface LimitStatus {
  readonly perSecond: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/** The limits that a request was counted against; null if a limit doesn't apply to it. */
export interface LimitStatuses {
  readonly key: LimitStatus | null;
  readonly address: LimitStatus | null;
}

/** CORS exposes them to pages of other origins. */
export const RATE_HEADERS = [
  "ratelimit-policy",
  "ratelimit",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
] as const;

export function setRateHeaders(headers: Record<string, string>, { key, address }: LimitStatuses): void {
  // OpenAI's set describes one limit: the one with fewer requests left.
  const near = key === null || (address !== null && address.remaining < key.remaining) ? address : key;
  if (near === null) return;
  headers["ratelimit-policy"] = list(key, address, policy);
  headers["ratelimit"] = list(key, address, limit);
  headers["x-ratelimit-limit-requests"] = String(near.perSecond);
  headers["x-ratelimit-remaining-requests"] = String(near.remaining);
  headers["x-ratelimit-reset-requests"] = duration(near.resetMs);
}

type Item = (name: string, status: LimitStatus) => string;

/** A list of RFC 9651 (structured fields). */
function list(key: LimitStatus | null, address: LimitStatus | null, item: Item): string {
  if (key === null) return address === null ? "" : item("address", address);
  return address === null ? item("key", key) : `${item("key", key)}, ${item("address", address)}`;
}

function policy(name: string, { perSecond }: LimitStatus): string {
  return `"${name}";q=${perSecond};w=1`;
}

/** The draft counts in whole seconds, and a window lasts one: `t` is always 1. */
function limit(name: string, { remaining, resetMs }: LimitStatus): string {
  return `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`;
}

/** In OpenAI's notation: `1s`, `120ms`. */
function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
