import { afterEach, describe, expect, it } from "vitest";
import {
  LineProgram,
  type ProgramTimings,
  type ProgramProblem,
} from "../../../origin-agent/probes/line-program.ts";
import { isAlive } from "../support/is-alive.ts";
import { until } from "../../support/until.ts";

const TIMINGS: ProgramTimings = { silenceMs: null, restart: { minMs: 5, maxMs: 40 }, missingRetryMs: 30 };

interface Watched {
  readonly program: LineProgram;
  readonly lines: string[];
  readonly problems: ProgramProblem[];
  /** When each problem was reported. */
  readonly reportedAt: number[];
  /** Processes it has run, in order. */
  readonly pids: Set<number>;
}

const running: LineProgram[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(async (program) => program.stop()));
});

/** Runs a Node program given as text; a line that begins with `ok` is readable. */
function run(script: string, timings: Partial<ProgramTimings> = {}, program = process.execPath): Watched {
  return runCommand([program, "-e", script], timings);
}

/** Shell programs print immediately: none is killed for its silence before it has started. */
const runShell = (script: string, timings: Partial<ProgramTimings>): Watched =>
  runCommand(["sh", "-c", script], timings);

function runCommand(
  [program, ...args]: readonly [string, ...string[]],
  timings: Partial<ProgramTimings>,
): Watched {
  const watched = {
    lines: [] as string[],
    problems: [] as ProgramProblem[],
    reportedAt: [] as number[],
    pids: new Set<number>(),
  };
  const line = new LineProgram({
    command: [program],
    args,
    timings: { ...TIMINGS, ...timings },
    onLine: (text) => {
      watched.lines.push(text);
      if (line.pid !== null) watched.pids.add(line.pid);
      if (text === "throw") throw new RangeError("no");
      return text.startsWith("ok");
    },
    onProblem: (problem) => {
      watched.problems.push(problem);
      watched.reportedAt.push(performance.now());
    },
  });
  running.push(line);
  line.start();
  return { ...watched, program: line };
}

describe("lines", () => {
  it("are complete, however the output is split", async () => {
    const { lines } = run(`
      const bytes = Buffer.from("ok \\u00e9\\u4e16\\nok two\\r\\n\\nok three\\n");
      let at = 0;
      setInterval(() => { if (at < bytes.length) process.stdout.write(bytes.subarray(at, ++at)); }, 1);
    `);
    await until(() => lines.length === 3, "three lines");
    expect(lines).toEqual(["ok é世", "ok two", "ok three"]);
  });

  it("that are too long are skipped, with or without a line break, and the next one is read", async () => {
    const { lines } = run(`
      process.stdout.write("ok" + "x".repeat(5_000_000) + "\\nok short\\n");
      process.stdout.write("y".repeat(300_000), () => process.stdout.write("\\nok after\\n"));
      setInterval(() => undefined, 1_000);
    `);
    await until(() => lines.includes("ok after"), "the line after");
    expect(lines).toEqual(["ok short", "ok after"]);
  });
});

describe("a program that exits", () => {
  it("is started again; its exit code and last unreadable line are reported", async () => {
    const { problems, pids } = run(`console.log("ok"); console.log("it broke"); process.exitCode = 9;`);
    await until(() => problems.length >= 3, "three exits");
    expect(problems[0]).toEqual({ kind: "exited", code: 9, output: "it broke" });
    expect(pids.size).toBeGreaterThanOrEqual(3);
  });

  it("has its output on stderr reported too, truncated", async () => {
    const { problems } = run(`console.error("E".repeat(5_000)); process.exitCode = 2;`);
    await until(() => problems.length >= 1, "an exit");
    expect(problems[0]).toEqual({ kind: "exited", code: 2, output: "E".repeat(200) });
  });

  it("is started after growing pauses", async () => {
    const { reportedAt } = run("", { restart: { minMs: 20, maxMs: 10_000 } });
    await until(() => reportedAt.length >= 4, "four exits");
    const pauses = reportedAt.slice(1).map((at, before) => at - (reportedAt[before] ?? 0));
    // By this clock a timer may fire up to 1 ms early, and late by any time.
    expect(pauses.every((pause, at) => pause >= 20 * 2 ** at - 1)).toBe(true);
  });
});

it("a program that doesn't exist is reported as missing and tried again", async () => {
  const { problems, program } = run("", {}, "/nowhere/nvidia-smi");
  await until(() => problems.length >= 2, "two tries");
  expect(problems[0]).toEqual({ kind: "missing" });
  expect(program.pid).toBe(null);
});

it("a program that can't be started is reported and tried again, without an exception", async () => {
  // Node throws for a name with a NUL, as it does if there is no memory for a process.
  const { problems } = run("", {}, "no\0name");
  await until(() => problems.length >= 2, "two tries");
  expect(problems[0]).toEqual({ kind: "exited", code: null, output: "" });
});

it("an exception of the reader counts as an unreadable line", async () => {
  const { problems, lines } = run(`console.log("throw"); console.log("ok"); process.exitCode = 9;`);
  await until(() => problems.length >= 1, "an exit");
  expect(lines.slice(0, 2)).toEqual(["throw", "ok"]);
});

it("a program that hangs is killed and started again", async () => {
  const { problems, pids } = runShell("echo ok; exec sleep 1000", { silenceMs: 500 });
  await until(() => pids.size >= 2, "a second process");
  expect(problems[0]).toEqual({ kind: "silent" });
  const [first = 0] = pids;
  expect(isAlive(first)).toBe(false);
});

it("a program whose output is unreadable is killed, and its output is reported", async () => {
  const { problems } = runShell("while :; do echo 'what?'; sleep 0.01; done", { silenceMs: 500 });
  // One that was killed before it printed anything is reported as silent.
  await until(() => problems.some(({ kind }) => kind === "malformed"), "the problem");
  expect(problems).toContainEqual({ kind: "malformed", output: "what?" });
});

it("never runs twice at the same time, and not at all after a stop", async () => {
  const { program, pids } = run(`console.log("ok"); setInterval(() => undefined, 1_000);`);
  await until(() => pids.size === 1, "the process");
  program.start();
  program.restart({ kind: "silent" });
  program.restart({ kind: "silent" });
  await until(() => pids.size === 2, "the next process");
  const [first = 0, second = 0] = pids;
  expect(isAlive(first)).toBe(false);
  await program.stop();
  // A stop waits up to 2 s for it.
  await until(() => !isAlive(second) && program.pid === null, "its exit");
  program.start();
  expect(program.pid).toBe(null);
});
