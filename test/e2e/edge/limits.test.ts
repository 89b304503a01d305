// The limits over HTTP, against the edge as `wrangler dev` runs it: never over, and what the headers say is what was
// let in. How much of a limit can be used is `test/limits/lease-simulation.test.ts`'s.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
import { fetchEdge, type Stack } from "../support/ask.ts";
import { bySecond, flood, numberIn, resetMs, stretches, type Seen } from "../support/limits.ts";

/** So few that any machine asks oftener, and two that a fast one exceeds and a slow one may not. */
const QUOTAS = [3, 20, 200];
const SMALLEST = 3;

/** A flood is over when its limit has refused in this many seconds; a slow machine gives up on a higher limit. */
const WINDOWS = 4;
const MAX_CALLS = 600;

let stack: Stack;
let floods: ReadonlyMap<number, readonly Seen[]>;
beforeAll(async () => {
  // No call here goes to a box.
  stack = await startStack({ agents: false, boxOrigins: { box1: "http://127.0.0.1:9" } });
  floods = new Map(await Promise.all(QUOTAS.map(floodOf)));
});
afterAll(async () => {
  await stack?.stop();
});

async function floodOf(quota: number): Promise<[number, readonly Seen[]]> {
  const key = await newKey(quota);
  const isEnough = (seen: readonly Seen[]): boolean =>
    (quota > SMALLEST && seen.length >= MAX_CALLS) || bySecond(seen).filter(wasReached).length >= WINDOWS;
  const seen = await flood(stack.edgeUrl, key, isEnough);
  const { admitted, seconds } = stretches(seen).reduce((all, one) => (one.seconds > all.seconds ? one : all));
  console.log(`limit ${quota}: ${admitted} of ${seen.length} let in within ${seconds} s`);
  return [quota, seen];
}

async function newKey(perSecond: number): Promise<string> {
  const answer = await fetchEdge(`${stack.edgeUrl}/admin/keys`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-admin" },
    // All calls here have the same address, and its limit is another test's.
    body: JSON.stringify({ name: `limit ${perSecond}`, limits: { perSecond }, addressExempt: true }),
  });
  const { key } = (await answer.json()) as { key: string };
  return key;
}

/** A second in which the limit refused. */
const wasReached = (second: readonly Seen[]): boolean => second.some(({ admitted }) => !admitted);

describe.each(QUOTAS)("a key of %i a second, asked as often as the machine can", (quota) => {
  const seen = (): readonly Seen[] => floods.get(quota) ?? [];

  test("is let in no oftener than that in any second, or in any seconds together", () => {
    for (const { seconds, admitted } of stretches(seen())) {
      expect(admitted).toBeLessThanOrEqual(quota * seconds);
    }
  });

  test("gets the limit in every answer, and never that more is left than is", () => {
    for (const second of bySecond(seen())) {
      const admitted = second.filter((one) => one.admitted);
      for (const one of admitted) {
        const before = admitted.filter(({ cameAt }) => cameAt < one.sentAt).length;
        const left = numberIn(one, "x-ratelimit-remaining-requests");
        expect(before + 1 + left).toBeLessThanOrEqual(quota);
      }
    }
    for (const one of seen()) {
      const remaining = one.headers["x-ratelimit-remaining-requests"];
      expect(one.headers["ratelimit-policy"]).toBe(`"key";q=${quota};w=1`);
      expect(one.headers["ratelimit"]).toBe(`"key";r=${String(remaining)};t=1`);
      expect(one.headers["x-ratelimit-limit-requests"]).toBe(String(quota));
      expect(resetMs(one)).toBeGreaterThan(0);
      expect(resetMs(one)).toBeLessThanOrEqual(1_000);
    }
  });

  test("gets in every refusal that nothing is left, and for how long", () => {
    const refused = seen().filter(({ admitted }) => !admitted);
    if (quota === SMALLEST) expect(refused.length).toBeGreaterThanOrEqual(WINDOWS);
    for (const one of refused) {
      expect(numberIn(one, "x-ratelimit-remaining-requests")).toBe(0);
      expect(numberIn(one, "retry-after")).toBe(1);
      expect(numberIn(one, "retry-after-ms")).toBeGreaterThan(0);
      expect(numberIn(one, "retry-after-ms")).toBeLessThanOrEqual(1_000);
    }
  });
});
