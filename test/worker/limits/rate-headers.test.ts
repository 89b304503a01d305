// The headers that report the limits: the IETF draft's structured fields, and OpenAI's set.
import { describe, expect, it } from "vitest";
import { RATE_HEADERS, setRateHeaders, type LimitStatuses } from "../../../worker/limits/rate-headers.ts";

function headersOf(limits: LimitStatuses): Record<string, string> {
  const headers: Record<string, string> = {};
  setRateHeaders(headers, limits);
  return headers;
}

const KEY = { perSecond: 1_000, remaining: 873, resetMs: 120 };
const ADDRESS = { perSecond: 100, remaining: 99, resetMs: 1_000 };

describe("an answer's limits", () => {
  it("are the key's and the address's; OpenAI's set has the one with less left", () => {
    expect(headersOf({ key: KEY, address: ADDRESS })).toEqual({
      "ratelimit-policy": '"key";q=1000;w=1, "address";q=100;w=1',
      ratelimit: '"key";r=873;t=1, "address";r=99;t=1',
      "x-ratelimit-limit-requests": "100",
      "x-ratelimit-remaining-requests": "99",
      "x-ratelimit-reset-requests": "1s",
    });
  });

  it("are only the key's if it is exempt from the address's", () => {
    expect(headersOf({ key: KEY, address: null })).toEqual({
      "ratelimit-policy": '"key";q=1000;w=1',
      ratelimit: '"key";r=873;t=1',
      "x-ratelimit-limit-requests": "1000",
      "x-ratelimit-remaining-requests": "873",
      "x-ratelimit-reset-requests": "120ms",
    });
  });

  it("are only the address's if there is no key", () => {
    expect(headersOf({ key: null, address: { ...ADDRESS, remaining: 0 } })).toMatchObject({
      ratelimit: '"address";r=0;t=1',
      "x-ratelimit-remaining-requests": "0",
    });
  });

  it("are absent if no limit was applied", () => {
    expect(headersOf({ key: null, address: null })).toEqual({});
  });

  it("are in the list of headers that pages of other origins may read", () => {
    expect(Object.keys(headersOf({ key: KEY, address: ADDRESS }))).toEqual(
      expect.arrayContaining([...RATE_HEADERS]),
    );
  });
});
