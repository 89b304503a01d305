import { expect, it } from "vitest";
import { check, checkParts, partText } from "../../scripts/check.ts";
import { sourceFiles } from "../support/source-text.ts";

it("type-checks every room that there is, with its own settings", () => {
  const rooms = [...sourceFiles(["tsconfig.json", "[!n]*/**/tsconfig.json"]).keys()].map((file) =>
    file.replace(/tsconfig.json$/, ""),
  );
  const types = rooms.map((room) => `types of ${room === "" ? "fleet.config.ts" : room}`);
  expect(types.length).toBeGreaterThan(8);
  expect(
    checkParts()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(["fleet", "format", "lint", ...types].toSorted());
});

it("runs every part, whatever fails, and returns those that failed with what they printed", async () => {
  const script = (name: string, code: string) => ({ name, args: ["--eval", code] });
  const parts = [
    script("one", "console.log('a fault'); process.exitCode = 3"),
    script("two", ""),
    script("three", "console.error('another'); process.kill(process.pid, 'SIGKILL')"),
    script("four", ""),
  ];
  const ended: string[] = [];
  const failed = await check({
    parts,
    signal: new AbortController().signal,
    onEnd: ({ name, hasPassed }) => ended.push(`${name} ${hasPassed}`),
  });
  expect(ended.sort()).toEqual(["four true", "one false", "three false", "two true"]);
  const printed = Object.fromEntries(failed.map(({ name, output }) => [name, output]));
  expect(printed).toEqual({ one: ["a fault"], three: ["another"] });
  expect(partText({ name: "one", hasPassed: false, seconds: "1.0", output: ["a fault"] })).toBe(
    "FAILED  one (1.0 s)\n  a fault",
  );
});
