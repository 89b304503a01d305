import { expect, it } from "vitest";
import { runAgain } from "../../../scripts/test/again.ts";
import { Progress } from "../../../scripts/test/progress.ts";
import { RunRecord, type TestEvent } from "../../../scripts/test/run-record.ts";

const FILES = ["test/a.test.ts", "test/worker/b.test.ts"];
const error = { message: "no", at: null, details: [] };
const ended = (file: string, state: string): TestEvent => ({
  type: "test",
  file,
  name: "a test",
  state,
  errors: state === "failed" ? [error] : [],
  output: [],
});

/** Runs that end as `stateOf` says, by their number from 1 on. */
function again(
  times: number,
  stateOf: (run: number) => string | null,
  signal = new AbortController().signal,
) {
  const runs: string[] = [];
  let loops = 0;
  const progress = new Progress({ write: () => {}, isTerminal: false, columns: () => 80, now: () => 0 });
  const result = runAgain(
    { times, files: FILES, forVitest: ["-t", "a test"] },
    {
      progress,
      signal,
      startLoops() {
        loops += 1;
        return [{ end: async () => void (loops -= 1) }];
      },
      async run(args, { record = new RunRecord(0) }) {
        expect(loops).toBe(1);
        runs.push(args.join(" "));
        const state = stateOf(runs.length);
        if (state !== null) record.take(ended(args[3] ?? "", state), 0);
        return record;
      },
    },
  );
  return { result, runs, loops: () => loops };
}

it("runs each file that often in its project, whatever fails, and ends the busy loops", async () => {
  const { result, runs, loops } = again(3, (run) => (run === 2 ? "failed" : "passed"));
  const { text, hasPassed } = await result;
  const run = (project: string, file?: string): string => {
    return `--project ${project} --passWithNoTests ${file} -t a test`;
  };
  expect(runs).toEqual([
    ...Array.from({ length: 3 }, () => run("node", FILES[0])),
    ...Array.from({ length: 3 }, () => run("worker", FILES[1])),
  ]);
  expect(hasPassed).toBe(false);
  expect(text).toMatch(/\n +3 +2 +1 {2}test\/a\.test\.ts\n +3 +3 +0 {2}test\/worker\/b\.test\.ts\n/);
  expect(text.endsWith("\n\n5 passed, 1 failed, 0 skipped")).toBe(true);
  expect(loops()).toBe(0);
});

it("passes if every run does", async () => {
  expect(await again(2, () => "passed").result).toMatchObject({ hasPassed: true });
});

it("fails if no test ran", async () => {
  const { text, hasPassed } = await again(1, () => null).result;
  expect(hasPassed).toBe(false);
  expect(text).toContain("no test ran of test/a.test.ts -t a test");
});

it("stops when it is interrupted, without the run that was ended", async () => {
  const stopper = new AbortController();
  const { result, runs, loops } = again(
    5,
    (run) => {
      if (run === 2) stopper.abort();
      return "passed";
    },
    stopper.signal,
  );
  const { text, hasPassed } = await result;
  expect(runs).toHaveLength(2);
  expect(hasPassed).toBe(false);
  expect(text).toContain("\n\nInterrupted.\n\n1 passed, 0 failed, 0 skipped");
  expect(loops()).toBe(0);
});
