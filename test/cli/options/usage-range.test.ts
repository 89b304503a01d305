import { expect, it } from "vitest";
import { usageRange } from "../../../cli/options/usage-range.ts";

const at = (text: string): number => Date.parse(text);
const NOW = at("2026-11-23T14:30:00Z");

/** In words. */
function range(options: Parameters<typeof usageRange>[0]): string | null {
  const found = usageRange(options, NOW);
  return found === null
    ? null
    : [found.from, found.to].map((ms) => new Date(ms).toISOString().slice(0, 16)).join(" ");
}

it("nothing said is this month so far, the running hour included", () => {
  expect(range({})).toBe("2026-11-01T00:00 2026-11-23T15:00");
});

it("the time before now is widened to whole hours, the finest there is", () => {
  expect(range({ last: 90 * 60 })).toBe("2026-11-23T13:00 2026-11-23T15:00");
  expect(range({ last: 7 * 86_400 })).toBe("2026-11-16T14:00 2026-11-23T15:00");
});

it("a month ends where the next one begins, a December's too", () => {
  expect(range({ month: at("2026-10-01") })).toBe("2026-10-01T00:00 2026-11-01T00:00");
  expect(range({ month: at("2025-12-01") })).toBe("2025-12-01T00:00 2026-01-01T00:00");
});

it("from a day on is up to now; up to a day is from the beginning of the month it closes", () => {
  expect(range({ from: at("2026-11-20") })).toBe("2026-11-20T00:00 2026-11-23T15:00");
  expect(range({ to: at("2026-11-08") })).toBe("2026-11-01T00:00 2026-11-08T00:00");
  expect(range({ to: at("2026-11-01") })).toBe("2026-10-01T00:00 2026-11-01T00:00");
});

it("what ends before it begins is told, not sent", () => {
  expect(range({ from: at("2026-11-08"), to: at("2026-11-08") })).toBeNull();
  expect(range({ from: at("2026-12-01") })).toBeNull();
});
