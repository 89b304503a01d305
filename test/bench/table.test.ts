import { describe, expect, it } from "vitest";
import { isKept, renderTable, type Result } from "../../bench/table.ts";

describe("the table", () => {
  const ratioRow = { name: "edge, CPU a request", unit: "µs", bound: { on: "ratio", atMost: 1.5 } } as const;
  const openRow = { name: "slow", unit: "µs", bound: { on: "ratio", atMost: 1.5, goal: 1.2 } } as const;
  const sizeRow = { name: "bundle", unit: "KB", bound: { on: "figure", atMost: 100 } } as const;
  const result = (row: Result["row"], figure: number, floor: number | null): Result => ({
    row,
    measured: { figure, floor, ratio: floor === null ? null : figure / floor, detail: {} },
  });

  it("shows figure, floor, ratio and bound, and whether the bound is kept", () => {
    const table = renderTable([
      result(ratioRow, 600, 400),
      result(sizeRow, 123.4, null),
      { row: sizeRow, measured: null },
    ]);
    expect(table.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["", "figure", "floor", "ratio", "at most", "goal"],
      ["edge, CPU a request", "600 µs", "400 µs", "1.50 ×", "1.5 ×", "ok"],
      ["bundle", "123 KB", "100 KB", "OVER"],
      ["bundle", "100 KB", "FAILED"],
    ]);
  });

  it("shows further figures at the end, nothing for a row without a bound, and that a row was skipped", () => {
    const free = { name: "gap", unit: "ms", bound: null } as const;
    const table = renderTable([
      { row: free, measured: { figure: 2, floor: null, ratio: null, note: "p99 9 ms", detail: {} } },
      { row: sizeRow, measured: "skipped" },
    ]);
    expect(table.split("\n").map((line) => line.trim().split(/ {2,}/))).toEqual([
      ["figure", "floor", "ratio", "at most", "goal"],
      ["gap", "2.00 ms", "p99 9 ms"],
      ["bundle", "100 KB", "skipped"],
    ]);
    expect(isKept({ row: free, measured: null })).toBe(false);
    expect(isKept({ row: sizeRow, measured: "skipped" })).toBe(true);
  });

  it("shows the goal of a row that isn't there yet; the bound alone decides", () => {
    const table = renderTable([result(openRow, 140, 100)]);
    expect(table.split("\n")[1]?.split(/ {2,}/)).toEqual([
      "slow",
      "140 µs",
      "100 µs",
      "1.40 ×",
      "1.5 ×",
      "1.2 ×",
      "ok",
    ]);
    expect(isKept(result(openRow, 160, 100))).toBe(false);
  });

  it("a bound is kept up to its very value", () => {
    expect(isKept(result(ratioRow, 150, 100))).toBe(true);
    expect(isKept(result(ratioRow, 151, 100))).toBe(false);
    expect(isKept(result(sizeRow, 100, null))).toBe(true);
    expect(isKept({ row: sizeRow, measured: null })).toBe(false);
  });
});
