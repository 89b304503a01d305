import { expect, it } from "vitest";
import {
  noteTime,
  remainingTime,
  usualTime,
  type LearnedTimes,
} from "../../../origin-agent/health/duration-baseline.ts";

const learned: LearnedTimes = [4_000, 6_000, 30_000];

it.each<[string, LearnedTimes, number, number | null]>([
  ["never seen to end: unknown", [], 500, null],
  ["at its beginning: the median", learned, 0, 6_000],
  ["on its way: what is left", learned, 4_500, 1_500],
  ["nearly over: never less than a look", learned, 5_999, 100],
  ["overdue: a quarter as long again", learned, 12_000, 3_000],
])("%s", (_, times, elapsedMs, remaining) => {
  expect(remainingTime(times, elapsedMs)).toBe(remaining);
});

it("keeps the last eight, and no figure that is none", () => {
  let times: LearnedTimes = [];
  for (let ms = 1; ms <= 20; ms += 1) times = noteTime(times, ms);
  expect(times).toEqual([13, 14, 15, 16, 17, 18, 19, 20]);
  for (const odd of [Number.NaN, -1, Infinity]) expect(noteTime(times, odd)).toBe(times);
  expect(usualTime([])).toBe(null);
});
