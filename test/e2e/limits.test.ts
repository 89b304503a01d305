// The limits over HTTP, against the edge as `wrangler dev` runs it: never over, nearly all of it usable, and what
// the headers say is what was let in.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStack } from "../../scripts/stack.mjs";
import type { Stack } from "./ask.ts";
import { flood, floodedSeconds, numberIn, resetMs, type Second, type Seen } from "./limits.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  await stack?.stop();
});

async function newKey(perSecond: number): Promise<string> {
  const answer = await fetch(`${stack.edgeUrl}/admin/keys`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-admin" },
    // Everybody here has the same address, and its limit is another test's.
    body: JSON.stringify({ name: `limit ${perSecond}`, limits: { perSecond }, addressExempt: true }),
  });
  const { key } = (await answer.json()) as { key: string };
  return key;
}

/** Seconds that are enough to tell, and how long a slow machine may take to see them. */
const SECONDS = 6;
/** Of those, seconds in which the machine may have been busy with something else: what it lost isn't the limits' loss. */
const BUSY = 2;
const WITHIN_MS = 160_000;

describe.each([50, 200])("a key of %i a second, asked more than twice as often", (quota) => {
  let seen: Seen[];
  let seconds: Second[];
  beforeAll(async () => {
    const key = await newKey(quota);
    const flooded = (all: readonly Seen[]): Second[] => floodedSeconds(all, 2 * quota + 1);
    seen = await flood(stack.edgeUrl, key, (all) => flooded(all).length >= SECONDS, WITHIN_MS);
    seconds = flooded(seen);
    const used = seconds.map(({ admitted, asked }) => `${admitted.length} of ${asked}`).join(", ");
    console.log(`limit ${quota}: ${used}`);
  });

  test("is let in no oftener than that in any second, by the answers' own word and by the clock", () => {
    expect(seconds.length).toBeGreaterThanOrEqual(SECONDS);
    for (const { admitted, surely, asked } of seconds) {
      expect(asked).toBeGreaterThan(2 * quota);
      expect(admitted.length).toBeLessThanOrEqual(quota);
      expect(surely).toBeLessThanOrEqual(quota);
    }
  });

  test("can use at least 98 % of it", () => {
    const admitted = seconds.map((second) => second.admitted.length).toSorted((a, b) => a - b);
    const quiet = admitted.slice(BUSY);
    const used = quiet.reduce((sum, count) => sum + count, 0);
    expect(used / (quiet.length * quota)).toBeGreaterThanOrEqual(0.98);
  });

  test("is told in every answer how often it may ask, and never that more is left than is", () => {
    for (const { admitted } of seconds) {
      const left = admitted.map((one) => numberIn(one, "x-ratelimit-remaining-requests"));
      expect(admitted.length).toBeLessThanOrEqual(quota - Math.min(...left));
      expect(Math.max(...left)).toBeLessThan(quota);
    }
    for (const one of seen) {
      const remaining = one.headers["x-ratelimit-remaining-requests"];
      expect(one.headers["ratelimit-policy"]).toBe(`"key";q=${quota};w=1`);
      expect(one.headers["ratelimit"]).toBe(`"key";r=${String(remaining)};t=1`);
      expect(one.headers["x-ratelimit-limit-requests"]).toBe(String(quota));
      expect(resetMs(one)).toBeGreaterThan(0);
      expect(resetMs(one)).toBeLessThanOrEqual(1_000);
    }
  });

  test("is told in every refusal that nothing is left, and for how long", () => {
    const refused = seen.filter(({ admitted }) => !admitted);
    for (const one of refused) {
      expect(numberIn(one, "x-ratelimit-remaining-requests")).toBe(0);
      expect(numberIn(one, "retry-after")).toBe(1);
      expect(numberIn(one, "retry-after-ms")).toBeGreaterThan(0);
      expect(numberIn(one, "retry-after-ms")).toBeLessThanOrEqual(1_000);
    }
  });
});
