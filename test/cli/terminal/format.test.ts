import { expect, it } from "vitest";
import { agoText, countText, dayText, momentText, shareText } from "../../../cli/terminal/format.ts";

it("counts have separators, times name UTC", () => {
  expect(countText(5_000_000)).toBe("5,000,000");
  expect(momentText("2026-11-23T14:05:09.123Z")).toBe("2026-11-23 14:05:09 UTC");
  expect(dayText("2027-01-31T00:00:00Z")).toBe("2027-01-31");
  expect(dayText("2027-01-31T18:30:00Z")).toBe("2027-01-31 18:30");
});

it("a share is 0 % or 100 % only if it is exact", () => {
  expect([0, 1, 12, 500, 9_950, 9_999, 10_000].map((part) => shareText(part, 10_000))).toEqual([
    "0 %",
    "<0.1 %",
    "0.1 %",
    "5.0 %",
    "99.5 %",
    ">99.9 %",
    "100 %",
  ]);
  expect(shareText(0, 0)).toBe("0 %");
});

it("the time since or until", () => {
  const now = Date.parse("2026-11-23T14:30:00Z");
  expect(agoText(now - 59_000, now)).toBe("59 s ago");
  expect(agoText(now - 185_000, now)).toBe("3 min 5 s ago");
  expect(agoText(now - 7_200_000, now)).toBe("2 h ago");
  expect(agoText(now + 2 * 86_400_000, now)).toBe("in 2 d");
  expect(agoText(now, now)).toBe("0 s ago");
});
