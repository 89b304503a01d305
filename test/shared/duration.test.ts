import { expect, it } from "vitest";
import { durationText, measuredText } from "../../shared/duration.ts";

it.each([
  [0, "0 s"],
  [12_900, "12 s"],
  [200_000, "3 min 20 s"],
  [180_000, "3 min"],
  [47 * 60_000 + 20_000, "47 min"],
  [2 * 3_600_000 + 5 * 60_000, "2 h 5 min"],
  [30 * 3_600_000, "1 d 6 h"],
  [-5, "0 s"],
  [9_999 * 86_400_000, "9999 d"],
  [1e300, "over 9,999 d"],
])("%i ms is %s", (ms, text) => expect(durationText(ms)).toBe(text));

it.each([
  [-5, "0.0 s"],
  [0, "0.0 s"],
  [6_140, "6.1 s"],
  [42_400, "42 s"],
  [200_000, "3 min 20 s"],
  [7_500_000, "2 h 5 min"],
])("%i ms, measured, is %s", (ms, text) => expect(measuredText(ms)).toBe(text));
