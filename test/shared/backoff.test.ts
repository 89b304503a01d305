import { expect, it } from "vitest";
import { backoffMs, jittered, retryAfterMs } from "../../shared/backoff.ts";

const BACKOFF = { minMs: 500, maxMs: 15_000 };

it("pauses double with each failure, from the shortest to the longest", () => {
  expect([0, 1, 2, 3, 6, 50, 10_000, Infinity].map((failures) => backoffMs(BACKOFF, failures))).toEqual([
    500, 500, 1000, 2000, 15_000, 15_000, 15_000, 15_000,
  ]);
});

it("jitter spreads a pause over half of it", () => {
  expect(jittered(15_000, 0)).toBe(7_500);
  expect(jittered(15_000, 0.5)).toBe(11_250);
  expect(jittered(15_000, 1)).toBe(15_000);
});

it("a refusal's retry is jittered: never early, up to half as long again, at most 120 s", () => {
  const spread = (ms: number): number[] => [0, 0.5, 1].map((random) => retryAfterMs(ms, random));
  expect(spread(4_000)).toEqual([4_000, 5_000, 6_000]);
  expect(spread(340)).toEqual([340, 425, 510]);
  expect(spread(0)).toEqual([1, 2, 2]);
  // Clients that wait for the longest time are spread too.
  for (const ms of [80_000, 120_000, 1e12]) expect(spread(ms)).toEqual([80_000, 100_000, 120_000]);
});
