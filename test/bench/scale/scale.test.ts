import { describe, expect, it } from "vitest";
import { withBodyBytes, clientCall } from "../../../bench/measures/calls.ts";
import { drawCurves } from "../../../bench/scale/drawing.ts";
import { describeSlope, exponent } from "../../../bench/scale/slope.ts";
import { renderCurves, type MeasuredCurve } from "../../../bench/scale/table.ts";

const curve = (costOf: (size: number) => number): { size: number; cost: number }[] =>
  [1, 10, 100, 1_000].map((size) => ({ size, cost: costOf(size) }));

describe("a slope", () => {
  it.each([0, 0.5, 1, 2])("of size to the power of %d is found", (power) => {
    expect(exponent(curve((size) => 7 * size ** power))).toBeCloseTo(power);
  });

  it("needs two sizes", () => {
    expect(() => exponent([{ size: 1, cost: 1 }])).toThrow("two sizes");
    expect(() => describeSlope([])).toThrow("two sizes");
  });

  it.each([
    ["falls: × 0.35 from 1 to 1,000", (size: number) => size ** -0.15],
    ["stays the same: × 1.1 from 1 to 1,000", (size: number) => size ** 0.02],
    ["grows slowly: × 2 from 1 to 1,000", (size: number) => size ** 0.1],
    ["grows less than in proportion: × 32 from 1 to 1,000", (size: number) => size ** 0.5],
    ["grows in proportion: × 1000 from 1 to 1,000", (size: number) => size],
    ["grows faster than in proportion: × 1000000 from 1 to 1,000", (size: number) => size ** 2],
  ])("%s", (words, costOf) => {
    expect(describeSlope(curve(costOf))).toBe(words);
  });
});

const MEASURED: MeasuredCurve[] = [
  { name: "edge, against keys", axis: "keys", unit: "µs", points: curve((size) => 100 + size) },
  { name: "agent, against <bodies>", axis: "bytes", unit: "µs", points: null },
  { name: "agent, the same", axis: "calls", unit: "µs", points: curve(() => 41.23) },
];

describe("the curves", () => {
  it("are printed with their costs and slopes; one that failed says so", () => {
    expect(renderCurves(MEASURED)).toBe(
      [
        "edge, against keys grows less than in proportion: × 11 from 1 to 1,000",
        "  keys    1   10  100  1,000",
        "  µs    101  110  200  1,100",
        "",
        "agent, against <bodies>: FAILED",
        "",
        "agent, the same stays the same: × 1 from 1 to 1,000",
        "  calls     1    10   100  1,000",
        "  µs     41.2  41.2  41.2   41.2",
      ].join("\n"),
    );
  });

  it("are drawn without the one that failed, in one SVG without anything to load", () => {
    const svg = drawCurves(MEASURED);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<circle/g)).toHaveLength(8);
    expect(svg).not.toContain("bodies");
    expect(svg).not.toMatch(/NaN|Infinity|href|<script/);
  });
});

describe("a call of another size", () => {
  it.each([1_000, 1_536, 100_000])("has a body of %d bytes and is otherwise the same", (bytes) => {
    const call = clientCall("json", 8080);
    const sized = withBodyBytes(call, bytes);
    expect(sized.body).toHaveLength(bytes);
    const [before, after] = [JSON.parse(call.body), JSON.parse(sized.body)];
    expect({ ...after, messages: [] }).toEqual({ ...before, messages: [] });
    expect(after.messages).toHaveLength(before.messages.length);
  });
});
