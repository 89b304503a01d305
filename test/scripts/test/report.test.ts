// The texts at the end: what failed, the command for it, the counts that CI reads, the table of --again.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { againText } from "../../../scripts/test/again-table.ts";
import { commandOf, failureText, failuresText } from "../../../scripts/test/failures.ts";
import { reportOf, type StageResult } from "../../../scripts/test/report.ts";
import type { Failure } from "../../../scripts/test/run-record.ts";

const failureOf = (more: Partial<Failure> = {}): Failure => ({
  file: "test/a.test.ts",
  name: "a suite > a test",
  isTest: true,
  errors: [{ message: "AssertionError: no", at: "test/a.test.ts:3:1", details: ["- 1", "+ 2"] }],
  output: [],
  ...more,
});
const resultOf = (more: Partial<StageResult> = {}): StageResult => ({
  stage: "unit",
  isComplete: true,
  seconds: "12",
  counts: { passed: 3, failed: 0, skipped: 1 },
  failures: [],
  output: "",
  ...more,
});
const run = {
  stages: ["unit" as const],
  results: [resultOf()],
  notes: [],
  forVitest: [],
  isInterrupted: false,
};
const lastLine = (text: string): string | undefined => text.split("\n").at(-1);

describe("a failure", () => {
  it("names the test, its error, the place, what it printed, and the command that runs it alone", () => {
    expect(failureText(failureOf({ output: ["a line"] }), 2)).toBe(
      [
        "2) test/a.test.ts > a suite > a test",
        "   AssertionError: no",
        "   - 1",
        "   + 2",
        "   at test/a.test.ts:3:1",
        "   it printed:",
        "     a line",
        '   npm test -- test/a.test.ts -t "^a suite > a test$"',
      ].join("\n"),
    );
  });

  it("of a file or a suite has a command for all of it", () => {
    expect(commandOf(failureOf({ name: null, isTest: false }))).toBe("npm test -- test/a.test.ts");
    expect(commandOf(failureOf({ name: "a suite", isTest: false }))).toBe(
      'npm test -- test/a.test.ts -t "^a suite"',
    );
    expect(failureText(failureOf({ file: null, name: null }), 1)).toMatch(/^1\) outside any test\n/);
  });

  it.each([
    "costs $1 (or $HOME) `pwd` !x",
    'it\'s "quoted" [a-z]+ {2} a|b ^ $',
    "a back\\slash, a tab\t and %s",
    "ünï – 日本",
  ])("has a command that any shell leaves as it is, and that matches the name: %s", async (name) => {
    const command = commandOf(failureOf({ name })) ?? "";
    const [, pattern = ""] = / -t (".*")$/.exec(command) ?? [];
    const { stdout } = await promisify(execFile)("sh", ["-c", `printf %s ${pattern}`]);
    expect(new RegExp(stdout).test(name)).toBe(true);
  });

  it("is shortened if its texts are long, and only named after the first 40", () => {
    const message = Array.from({ length: 100 }, (_, line) => `line ${line}`).join("\n");
    const text = failureText(failureOf({ errors: [{ message, at: null, details: [] }] }), 1);
    expect(text).toContain("… 75 more lines");
    const many = failuresText(Array.from({ length: 50 }, () => failureOf()));
    expect(many.match(/AssertionError/g)).toHaveLength(40);
    expect(many).toContain("\n50) test/a.test.ts > a suite > a test");
  });
});

describe("the report", () => {
  it("ends with the counts", () => {
    const { text, hasFailed } = reportOf(run);
    expect(lastLine(text)).toBe("3 passed, 0 failed, 1 skipped");
    expect(hasFailed).toBe(false);
  });

  it("adds up the stages, and names those that were not run", () => {
    const failed = resultOf({
      stage: "worker",
      counts: { passed: 1, failed: 2, skipped: 0 },
      failures: [failureOf(), failureOf()],
    });
    const { text, hasFailed } = reportOf({
      ...run,
      stages: ["unit", "worker", "e2e"],
      results: [resultOf(), failed],
      notes: ["a note"],
    });
    expect(text).toMatch(
      /\nok +unit +12 s {2}3 passed, 0 failed, 1 skipped\nFAILED +worker .+\nnot run +e2e\n/,
    );
    expect(text).toContain("\n2) test/a.test.ts");
    expect(text).toContain("\na note\n");
    expect(lastLine(text)).toBe("4 passed, 2 failed, 1 skipped");
    expect(hasFailed).toBe(true);
  });

  it("never says 0 failed of a run that failed", () => {
    const empty = resultOf({ counts: { passed: 0, failed: 0, skipped: 4 } });
    const unmatched = reportOf({ ...run, results: [empty], forVitest: ["nothing"] });
    expect(unmatched.text).toContain("No test matches nothing.");
    expect(lastLine(unmatched.text)).toBe("0 passed, 1 failed, 4 skipped");
    expect(reportOf({ ...run, results: [empty], forVitest: ["pages"], notes: ["why"] }).hasFailed).toBe(
      false,
    );
    const interrupted = reportOf({ ...run, results: [resultOf({ isComplete: false })], isInterrupted: true });
    expect(interrupted.text).toMatch(/^ended +unit/);
    expect(lastLine(interrupted.text)).toBe("3 passed, 1 failed, 1 skipped");
    expect(interrupted.hasFailed).toBe(true);
  });

  it("shows what a failed check printed", () => {
    const check = resultOf({
      stage: "check",
      counts: { passed: 0, failed: 1, skipped: 0 },
      output: "lint: no",
    });
    expect(reportOf({ ...run, stages: ["check"], results: [check] }).text).toMatch(
      /^lint: no\n\nFAILED +check/,
    );
  });
});

describe("--again's table", () => {
  it("has the runs of each file, and each failing test once with how often it failed", () => {
    const counts = { passed: 1, failed: 0, skipped: 0 };
    const passed = { failures: [], counts };
    const failed = { failures: [failureOf()], counts };
    const text = againText([
      { file: "test/a.test.ts", records: [passed, failed, { ...failed }] },
      { file: "test/b.test.ts", records: [passed] },
    ]);
    expect(text).toMatch(
      /^ +runs +passed +failed {2}file\n +3 +1 +2 {2}test\/a\.test\.ts\n +1 +1 +0 {2}test\/b/,
    );
    expect(text).toContain("\nfailed in 2 of 3 runs:\n1) test/a.test.ts > a suite > a test\n");
    expect(text.match(/AssertionError/g)).toHaveLength(1);
  });
});
