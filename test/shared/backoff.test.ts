import { expect, it } from "vitest";
import { backoffMs, jittered } from "../../shared/backoff.ts";

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
