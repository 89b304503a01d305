import { describe, expect, it } from "vitest";
import { chooseRows, readBenchArguments } from "../../bench/bench-arguments.ts";

describe("arguments", () => {
  it("without any, every row is measured and nothing is strict", () => {
    expect(readBenchArguments([])).toEqual({ only: [], json: null, strict: false, help: false });
  });

  it("values stand behind their flag, or in it", () => {
    expect(readBenchArguments(["--only", "edge", "--only=agent", "--json=a.json", "--strict"])).toEqual({
      only: ["edge", "agent"],
      json: "a.json",
      strict: true,
      help: false,
    });
  });

  it.each([["--fast"], ["--only"], ["--json="], ["--strict=1"], ["edge"]])(
    "%s is refused with the usage",
    (...argv) => {
      expect(() => readBenchArguments(argv)).toThrow("Usage: npm run bench");
    },
  );

  it("rows are chosen by part of their name, letter case aside, in the table's order", () => {
    const rows = [{ name: "edge, CPU" }, { name: "agent, CPU" }, { name: "Worker bundle" }];
    expect(chooseRows(rows, [])).toEqual(rows);
    expect(chooseRows(rows, ["worker", "EDGE"])).toEqual([rows[0], rows[2]]);
    expect(() => chooseRows(rows, ["edge", "gpu"])).toThrow('"gpu"; there are:\n  edge, CPU');
  });
});
