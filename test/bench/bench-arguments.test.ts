import { describe, expect, it } from "vitest";
import { chooseRows, readBenchArguments } from "../../bench/bench-arguments.ts";

describe("arguments", () => {
  it("without any, every row of ours is measured and nothing is strict", () => {
    expect(readBenchArguments([])).toEqual({
      only: [],
      json: null,
      peers: false,
      scale: false,
      svg: null,
      strict: false,
      help: false,
    });
  });

  it("values stand behind their flag, or in it", () => {
    expect(
      readBenchArguments(["--only", "edge", "--only=agent", "--json=a.json", "--peers", "--strict"]),
    ).toEqual({
      only: ["edge", "agent"],
      json: "a.json",
      peers: true,
      scale: false,
      svg: null,
      strict: true,
      help: false,
    });
  });

  it("the curves are drawn only if they are measured", () => {
    expect(readBenchArguments(["--scale", "--svg", "a.svg"])).toMatchObject({ scale: true, svg: "a.svg" });
    expect(() => readBenchArguments(["--svg", "a.svg"])).toThrow("give both");
  });

  it.each([["--fast"], ["--only"], ["--json="], ["--strict=1"], ["--peers=1"], ["--scale=1"], ["edge"]])(
    "%s is refused with the usage",
    (...argv) => {
      expect(() => readBenchArguments(argv)).toThrow("Usage: npm run bench");
    },
  );

  it("rows are chosen by part of their name, letter case aside, in the table's order", () => {
    const rows = [{ name: "edge, CPU" }, { name: "agent, CPU" }, { name: "Worker bundle" }];
    expect(chooseRows(rows, [], false)).toEqual(rows);
    expect(chooseRows(rows, ["worker", "EDGE"], false)).toEqual([rows[0], rows[2]]);
    expect(() => chooseRows(rows, ["edge", "gpu"], false)).toThrow('"gpu"; there are:\n  edge, CPU');
  });

  it("rows of peers are chosen only if they are requested", () => {
    const rows = [{ name: "edge, CPU" }, { name: "over nginx", peer: true as const }];
    expect(chooseRows(rows, [], false)).toEqual([rows[0]]);
    expect(chooseRows(rows, ["nginx"], true)).toEqual([rows[1]]);
    expect(() => chooseRows(rows, ["nginx"], false)).toThrow('"nginx"; there are:\n  edge, CPU');
  });
});
