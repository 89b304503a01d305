import { describe, expect, it } from "vitest";
import { median, pairedRatio, quantile } from "../../bench/statistics.ts";

describe("statistics", () => {
  it("the median is the middle value, or lies between the two", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(() => median([])).toThrow("nothing");
  });

  it("a quantile lies between its neighbours in proportion", () => {
    expect(quantile([10, 20, 30, 40, 50], 0.95)).toBeCloseTo(48);
    expect(quantile([7], 0.95)).toBe(7);
  });

  it("a slow spell that falls on both of a pair leaves the ratio as it was", () => {
    const calm = { floor: 10, ours: 15 };
    const slow = { floor: 30, ours: 45 };
    expect(pairedRatio([calm, slow, calm])).toBe(1.5);
    // The ratio of the medians would say 3.
    expect(pairedRatio([slow, { floor: 10, ours: 45 }, calm])).toBe(1.5);
  });
});
