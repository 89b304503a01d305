// Real runs of vitest with the reporter, in a folder of their own: each way in which tests can fail is reported.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { titleOf } from "../../../scripts/test/failures.ts";
import { RunRecord, type TestEvent } from "../../../scripts/test/run-record.ts";
import { runVitest } from "../../../scripts/test/vitest-run.ts";

let folder: string;
beforeEach(async () => {
  // Inside the repository, where the tests find vitest.
  await mkdir(resolve(".wrangler"), { recursive: true });
  folder = await mkdtemp(resolve(".wrangler/runner-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const IMPORTS = 'import { beforeAll, describe, expect, it } from "vitest";\n';

async function write(files: Record<string, string>): Promise<void> {
  const config = "export default { test: { include: ['*.test.mjs'], maxWorkers: 3 } };";
  const all = { "vitest.config.mjs": config, ...files };
  await Promise.all(
    Object.entries(all).map(([name, text]) =>
      writeFile(join(folder, name), name.endsWith(".test.mjs") ? IMPORTS + text : text),
    ),
  );
}

/** A record that calls `onStep` when a test begins. */
class WatchedRecord extends RunRecord {
  hasBegun = false;
  onStep = (): void => {};

  override take(event: TestEvent, now: number): void {
    super.take(event, now);
    if (event.type !== "step") return;
    this.hasBegun = true;
    this.onStep();
  }
}

const run = (
  record = new RunRecord(performance.now()),
  signal = new AbortController().signal,
): Promise<RunRecord> => runVitest([], { cwd: folder, signal, record });

it("reports each test that fails and each error outside of tests, with message and place", async () => {
  await write({
    "good.test.mjs": "it('passes', () => {}); it['skip']('is skipped', () => {});",
    "bad.test.mjs": `
      describe("a suite", () => {
        it("fails", () => {
          console.log("printed before");
          expect({ a: 1 }).toEqual({ a: 2 });
        });
        it("throws", () => { throw new TypeError("no", { cause: new Error("a deeper reason") }); });
        it("throws a string", () => { throw "a string"; });
      });`,
    "hook.test.mjs": "beforeAll(() => { throw new Error('no hook'); }); it('needs it', () => {});",
    "syntax.test.mjs": "it('is cut', () => {",
    "unhandled.test.mjs":
      "it('leaves a promise', async () => { void Promise.reject(new Error('no handler')); await new Promise(setImmediate); });",
    "killed.test.mjs":
      "it('kills its worker', async () => { process.kill(process.pid, 'SIGKILL'); await new Promise(() => {}); });",
  });
  const record = await run();
  const failures = new Map(record.failures.map((failure) => [titleOf(failure), failure]));
  const textOf = (title: string): string => {
    const found = failures.get(title);
    return JSON.stringify(found ?? [...failures.keys()]);
  };

  const compared = failures.get("bad.test.mjs > a suite > fails");
  expect(compared?.errors[0]?.message).toMatch(/^AssertionError: expected/);
  expect(compared?.errors[0]?.at).toBe("bad.test.mjs:6:28");
  expect(compared?.errors[0]?.details.join("\n")).toMatch(/- +"a": 2,\n\+ +"a": 1,/);
  expect(compared?.output).toEqual(["printed before"]);
  expect(textOf("bad.test.mjs > a suite > throws")).toMatch(/TypeError: no.*caused by a deeper reason/);
  expect(textOf("bad.test.mjs > a suite > throws a string")).toContain("a string");
  expect(textOf("hook.test.mjs")).toContain("no hook");
  expect(textOf("syntax.test.mjs")).toMatch(/syntax\.test\.mjs/);
  const outside = record.failures.map((failure) => JSON.stringify(failure)).join("\n");
  expect(outside).toContain("no handler");
  expect(outside).toMatch(/[Ww]orker.*(exited|terminated)/);
  expect(record.counts.passed).toBe(2);
  expect(record.counts.skipped).toBeGreaterThanOrEqual(1);
});

it("ends a run in which files hang, and names each with what it last did", async () => {
  await write({
    "a.test.mjs": "it('passes', () => {});",
    "loop.test.mjs": "it('blocks its worker', () => { for (;;); });",
    "wait.test.mjs": "it('never ends', () => new Promise(() => {}), 1e9);",
  });
  const record = new WatchedRecord(performance.now());
  const findHung = record.findHung.bind(record);
  record.findHung = (now) => {
    const hung = findHung(now, 0);
    const isWaiting = hung.some(({ doing }) => doing === "never ends");
    return isWaiting && hung.some(({ file }) => file === "loop.test.mjs") ? hung : [];
  };
  await run(record);
  const messages = new Map(record.failures.map(({ file, errors }) => [file, errors[0]?.message]));
  expect(messages.get("wait.test.mjs")).toMatch(/^no sign of life for \d+ s; last seen: never ends$/);
  expect(messages.get("loop.test.mjs")).toMatch(/^no sign of life for \d+ s; last seen: /);
});

it("ends when it is interrupted, without a failure for what was not finished", async () => {
  await write({ "loop.test.mjs": "it('never ends', () => new Promise(() => {}), 1e9);" });
  const stopper = new AbortController();
  const record = new WatchedRecord(performance.now());
  record.onStep = () => stopper.abort();
  await run(record, stopper.signal);
  expect(record.counts).toEqual({ passed: 0, failed: 0, skipped: 0 });
  expect(record.hasEnded).toBe(false);
});

it("shows what vitest printed if it can't begin", async () => {
  await write({ "vitest.config.mjs": "throw new Error('no configuration');" });
  const [failure] = (await run()).failures;
  expect(failure?.errors[0]?.message).toMatch(
    /^vitest ended with exit code 1; its last lines:\n[^]*no configuration/,
  );
});

it("reports a run without any test", async () => {
  await write({});
  expect((await run()).counts.failed).toBe(1);
});
