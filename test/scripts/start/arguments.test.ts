import { describe, expect, it } from "vitest";
import { readPort, readStartArguments } from "../../../scripts/start/arguments.ts";

describe("npm start's arguments", () => {
  it("are read", () => {
    const none = { real: false, traffic: false, boxes: null, fleet: null, verbose: false, help: false };
    expect(readStartArguments([])).toEqual(none);
    expect(readStartArguments(["--real", "--verbose", "--fleet", "a.ts"])).toEqual({
      ...none,
      real: true,
      verbose: true,
      fleet: "a.ts",
    });
    expect(readStartArguments(["--fleet=b.ts"])).toEqual({ ...none, fleet: "b.ts" });
    const two = { ...none, traffic: true, boxes: 2 };
    expect(readStartArguments(["--traffic", "--boxes", "2"])).toEqual(two);
    expect(readStartArguments(["--boxes=2", "--traffic"])).toEqual(two);
  });

  it.each([
    [["--reel"]],
    [["box1"]],
    [["--fleet"]],
    [["--fleet="]],
    [["--boxes"]],
    [["--boxes=0"]],
    [["--boxes", "two"]],
    [["--traffic=1"]],
  ])("%j is refused with the usage", (argv) => {
    expect(() => readStartArguments(argv)).toThrow(
      /(--reel|box1|needs a file|needs a number|--traffic=1)[^]*Usage: npm start/,
    );
  });

  it("a port in the environment is fixed; without one the search begins at the usual one", () => {
    expect(readPort("EDGE_PORT", undefined, 8787)).toEqual({ port: 8787, fixed: false });
    expect(readPort("EDGE_PORT", "9000", 8787)).toEqual({ port: 9000, fixed: true });
    expect(() => readPort("EDGE_PORT", "0", 8787)).toThrow("EDGE_PORT=0 is no port");
    expect(() => readPort("EDGE_PORT", "80a", 8787)).toThrow("EDGE_PORT=80a is no port");
  });
});
