import { describe, expect, it } from "vitest";
import { readTestArguments, TEST_USAGE } from "../../../scripts/test/arguments.ts";
import { STAGES, stagesOf } from "../../../scripts/test/stages.ts";

describe("npm test's stages", () => {
  it("are all run if none is named, else those named, in their order", () => {
    expect(readTestArguments([])).toMatchObject({ kind: "stages", stages: STAGES, forVitest: [] });
    expect(readTestArguments(["e2e", "check"])).toMatchObject({ stages: ["check", "e2e"] });
  });

  it("pass further arguments to vitest", () => {
    expect(readTestArguments(["unit", "-t", "a name"])).toEqual({
      kind: "stages",
      stages: ["unit"],
      forVitest: ["-t", "a name"],
    });
  });

  it.each([
    [["test/shared/a.test.ts"], ["unit"]],
    [["./test/worker/a.test.ts"], ["worker"]],
    [["test/e2e/a.test.ts:12"], ["e2e"]],
    [["test/console/a.page.test.ts"], ["pages"]],
    [["test/console/a.test.ts"], ["unit"]],
    [
      ["test/a.test.ts", "test/e2e/b.test.ts", "-t", "a name"],
      ["unit", "e2e"],
    ],
    [["test/console/"], ["unit", "pages"]],
    [["test/origin-agent/probes"], ["unit"]],
    [["test/"], ["unit", "worker", "pages", "e2e"]],
    [["test/work"], ["unit", "worker", "pages", "e2e"]],
    [["keys"], ["unit", "worker", "pages", "e2e"]],
    [
      ["-t", "test/worker/ is a name here"],
      ["unit", "worker", "pages", "e2e"],
    ],
  ])("for %j alone are those that can hold it: %j", (forVitest, stages) => {
    expect(readTestArguments(forVitest)).toEqual({ kind: "stages", stages, forVitest });
  });

  it("are explained by --help", () => {
    expect(readTestArguments(["--help"])).toEqual({ kind: "help" });
    for (const stage of STAGES) expect(TEST_USAGE).toContain(`  ${stage}`);
    expect(stagesOf("test/x.test.ts")).toEqual(["unit"]);
  });
});

describe("--again", () => {
  it("takes a number of runs, files, and what vitest is to get", () => {
    const files = ["test/a.test.ts", "test/e2e/b.test.ts"];
    const wanted = { kind: "again", times: 20, files, forVitest: ["-t", "a name"] };
    expect(readTestArguments(["--again", "20", ...files, "-t", "a name"])).toEqual(wanted);
    expect(readTestArguments(["--again=20", ...files, "-t", "a name"])).toEqual(wanted);
  });

  it.each([
    [["--again"], "from 1 to 10000; got nothing"],
    [["--again", "test/a.test.ts"], 'got "test/a.test.ts"'],
    [["--again", "0", "test/a.test.ts"], 'got "0"'],
    [["--again", "-3", "test/a.test.ts"], 'got "-3"'],
    [["--again", "2.5", "test/a.test.ts"], 'got "2.5"'],
    [["--again", "1e9", "test/a.test.ts"], 'got "1e9"'],
    [["--again", "99999", "test/a.test.ts"], 'got "99999"'],
    [["--again", "5"], "at least one test file"],
    [["--again", "5", "-t", "a name"], "at least one test file"],
    [["--again", "5", "keys"], "test files by their path, such as test/a.test.ts; got keys"],
    [["--again", "5", "test/e2e/"], "got test/e2e/"],
    [["unit", "--again", "5", "test/a.test.ts"], "--again comes first"],
  ])("%j is refused: %s", (argv, message) => {
    const refused = readTestArguments(argv);
    expect(refused.kind).toBe("refused");
    expect(refused).toHaveProperty("message", expect.stringContaining(message));
  });
});
