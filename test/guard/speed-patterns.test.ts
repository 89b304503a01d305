// No test depends on the machine's speed: each of them waits for a condition, or asserts what holds at any speed.
import { describe, expect, it } from "vitest";
import { sourceFiles } from "../support/source-text.ts";
import { speedFindings, type PatternName } from "./speed-patterns.ts";

/** Not scanned: the simulators, which keep a pace themselves; the one wait for a condition; this guard's samples. */
const NOT_SCANNED = [
  /^test\/sim\/(?!.*\.test\.ts$)/,
  /^test\/support\/until\.ts$/,
  /^test\/guard\/speed-patterns/,
];

interface Allowed {
  readonly file: string;
  readonly pattern: PatternName;
  readonly count: number;
  readonly why: string;
}

/** Uses that hold on any machine. */
const ALLOWED: readonly Allowed[] = [
  {
    file: "test/e2e/edge/keys.test.ts",
    pattern: "wall clock",
    count: 1,
    why: "the load ended within a grace of 10 minutes, without which the test would show nothing",
  },
  {
    file: "test/origin-agent/support/journal-program.ts",
    pattern: "sleep",
    count: 1,
    why: "the pace of a program that a test starts; the test waits for what the program prints",
  },
];

const isAllowed = (file: string, pattern: PatternName): number =>
  ALLOWED.find((entry) => entry.file === file && entry.pattern === pattern)?.count ?? 0;

function findingsOf(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([file, text]) => {
    const findings = speedFindings(text);
    return findings
      .filter(({ pattern }) => {
        return findings.filter((other) => other.pattern === pattern).length > isAllowed(file, pattern);
      })
      .map(({ line, pattern, instead }) => `${file}:${line}: ${pattern}: ${instead}`);
  });
}

const files = sourceFiles(["test/**/*.ts", "vitest.config.ts"]);

describe("over all tests", () => {
  it("nothing depends on the machine's speed", () => {
    const checked = new Map([...files].filter(([path]) => !NOT_SCANNED.some((other) => other.test(path))));
    expect(checked.size).toBeGreaterThan(300);
    expect(findingsOf(checked)).toEqual([]);
  });

  it("no script measures a duration by the machine's date, which may be set while it runs", () => {
    const scripts = [...sourceFiles(["scripts/**/*.{ts,cjs}", "test/support/*.ts"])];
    expect(scripts.length).toBeGreaterThan(20);
    expect(scripts.filter(([, text]) => text.includes("Date.now")).map(([path]) => path)).toEqual([]);
  });

  it("no allowance is left without its use", () => {
    for (const { file, pattern, count, why } of ALLOWED) {
      const found = speedFindings(files.get(file) ?? "").filter((finding) => finding.pattern === pattern);
      expect([file, pattern, found.length]).toEqual([file, pattern, count]);
      expect(why.length).toBeGreaterThan(20);
    }
  });
});

describe("found, with the line and what to use instead:", () => {
  it.each<[string, PatternName, string]>([
    ["a sleep", "sleep", "await new Promise((resolve) => setTimeout(resolve, 50));"],
    [
      "a sleep over two lines",
      "sleep",
      "const pause = () =>\n  new Promise((resolve) => {\n    setTimeout(resolve, 50); });",
    ],
    ["an imported sleep", "sleep", 'import { setTimeout as pause } from "node:timers/promises";'],
    [
      "a sleep that is loaded late",
      "sleep",
      "const { setTimeout: pause } = await import('timers/promises');",
    ],
    ["a sleep made of a callback", "sleep", "const pause = promisify(setTimeout);"],
    ["a scheduler's sleep", "sleep", "await scheduler.wait(50);"],
    ["a blocking sleep", "sleep", "Atomics.wait(cells, 0, 0, 50);"],
    ["a retried test", "retry", 'it("name", { retry: 2 }, () => {});'],
    ["a retry among other options", "retry", "test: { name: 1,\n  retry: 3 }"],
    ["a wait of 1 s by default", "short wait", "await vi.waitFor(() => expect(x).toBe(1));"],
    ["a poll of 1 s by default", "short wait", "await expect.poll(() => x()).toBe(1);"],
    [
      "a wait that ends too early",
      "short wait",
      "await expect.poll(() => x(), { timeout: 10_000 }).toBe(1);",
    ],
    [
      "a wait by a constant",
      "short wait",
      "const MS = 5_000;\nawait vi.waitUntil(() => x(), { timeout: MS });",
    ],
    ["a test that is skipped", "not run", 'it.skip("name", () => {});'],
    ["a suite that runs alone", "not run", 'describe.only("name", () => {});'],
    ["a test to write", "not run", 'test.concurrent.todo("name");'],
    ["a test that skips itself", "not run", "if (slow) context.skip();"],
    ["a clock in an assertion", "wall clock", "expect(performance.now() - began).toBeLessThan(100);"],
    ["a clock as a bound", "wall clock", "expect(endsAt).toBeGreaterThan(Date.now());"],
    ["a clock, compared", "wall clock", "expect(performance.now() - began < 100).toBe(true);"],
    ["a clock, not compared", "wall clock", "expect(Date.now() - began).not.toBeGreaterThan(100);"],
    [
      "a difference by its name",
      "wall clock",
      "const ms = Math.round(performance.now() - began);\nexpect(ms).toBeLessThan(9);",
    ],
    ["an elapsed time", "wall clock", "expect(elapsedMs).toBeLessThanOrEqual(100);"],
    ["the time it took", "wall clock", "expect(await timeItTook()).toBeLessThan(100);"],
  ])("%s", (_what, pattern, text) => {
    const [finding, ...more] = speedFindings(`// a comment\n${text}`);
    expect(finding?.pattern).toBe(pattern);
    expect(finding?.line).toBe(text.split("\n").length + 1);
    expect(finding?.instead.length).toBeGreaterThan(20);
    expect(more).toEqual([]);
  });

  it("with its file", () => {
    const found = findingsOf(new Map([["test/a.test.ts", "\nawait scheduler.wait(50);"]]));
    expect(found).toEqual([expect.stringMatching(/^test\/a\.test\.ts:2: sleep: wait for the condition/)]);
  });
});

describe("not found:", () => {
  it.each([
    ["a comment", "// await new Promise((resolve) => setTimeout(resolve, 50));"],
    ["a text", 'const text = "it.skip and retry: 2 and expect(elapsed).toBeLessThan(1)";'],
    ["a wait for a condition", "await until(() => x === 1);"],
    ["a wait of minutes", "await vi.waitFor(() => x(), { timeout: 60_000 });"],
    ["a wait by a constant of minutes", "await expect.poll(x, { timeout: WAIT_MS }).toBe(1);"],
    [
      "a promise without a timer",
      "await new Promise((resolve) => server.listen(0, resolve));\nsetTimeout(end, 5);",
    ],
    ["a fake timer", 'vi.useFakeTimers({ toFake: ["setTimeout"] });'],
    ["a count", "expect(calls.length).toBeLessThan(5);"],
    ["a time that was passed in", "expect(state.waitMs).toBeLessThan(100);"],
    ["a header that says when", 'expect(headers["retry-after"]).toBe("1");'],
    ["a wait until a moment", "await until(() => Date.now() > endsAt);"],
  ])("%s", (_what, text) => {
    expect(speedFindings(text)).toEqual([]);
  });
});
