import { expect, it } from "vitest";
import { usageRange } from "../../../cli/options/usage-range.ts";

const at = (text: string): number => Date.parse(text);
const NOW = at("2026-11-23T14:30:00Z");

/** The range as text. */
function range(options: Parameters<typeof usageRange>[0]): string | null {
  const found = usageRange(options, NOW);
  return found === null
    ? null
    : [found.from, found.to].map((ms) => new Date(ms).toISOString().slice(0, 16)).join(" ");
}

it("the default is this month so far, with the current hour", () => {
  expect(range({})).toBe("2026-11-01T00:00 2026-11-23T15:00");
});

it("the time up to now is widened to whole hours", () => {
  expect(range({ last: 90 * 60 })).toBe("2026-11-23T13:00 2026-11-23T15:00");
  expect(range({ last: 7 * 86_400 })).toBe("2026-11-16T14:00 2026-11-23T15:00");
});

it("a month ends where the next one starts, December too", () => {
  expect(range({ month: at("2026-10-01") })).toBe("2026-10-01T00:00 2026-11-01T00:00");
  expect(range({ month: at("2025-12-01") })).toBe("2025-12-01T00:00 2026-01-01T00:00");
});

it("--from alone ends now; --to alone starts with the month that it ends in", () => {
  expect(range({ from: at("2026-11-20") })).toBe("2026-11-20T00:00 2026-11-23T15:00");
  expect(range({ to: at("2026-11-08") })).toBe("2026-11-01T00:00 2026-11-08T00:00");
  expect(range({ to: at("2026-11-01") })).toBe("2026-10-01T00:00 2026-11-01T00:00");
});

it("a range that ends before it starts is refused", () => {
  expect(range({ from: at("2026-11-08"), to: at("2026-11-08") })).toBeNull();
  expect(range({ from: at("2026-12-01") })).toBeNull();
});
