import { afterEach, describe, expect, it } from "vitest";
import {
  LineProgram,
  type ProgramPaces,
  type ProgramProblem,
} from "../../../origin-agent/probes/line-program.ts";
import { isAlive } from "./is-alive.ts";
import { until } from "../../support/until.ts";

const PACES: ProgramPaces = { silence: null, firstPause: 5, longestPause: 40, missingPause: 30 };

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

/** Runs a Node program given as text; a line that begins with `ok` can be read. */
function run(script: string, paces: Partial<ProgramPaces> = {}, program = process.execPath): Watched {
  return runCommand([program, "-e", script], paces);
}

/** The shell's programs print at once: none is killed for its silence before it has begun. */
const runShell = (script: string, paces: Partial<ProgramPaces>): Watched =>
  runCommand(["sh", "-c", script], paces);

function runCommand(
  [program, ...args]: readonly [string, ...string[]],
  paces: Partial<ProgramPaces>,
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
    paces: { ...PACES, ...paces },
    onLine: (text) => {
      watched.lines.push(text);
      if (line.pid !== null) watched.pids.add(line.pid);
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
  it("come whole, however they were cut", async () => {
    const { lines } = run(`
      const bytes = Buffer.from("ok \\u00e9\\u4e16\\nok two\\r\\n\\nok three\\n");
      let at = 0;
      setInterval(() => { if (at < bytes.length) process.stdout.write(bytes.subarray(at, ++at)); }, 1);
    `);
    await until(() => lines.length === 3, "three lines");
    expect(lines).toEqual(["ok é世", "ok two", "ok three"]);
  });

  it("that are too long are thrown away, with or without an end, and the next one is read", async () => {
    const { lines } = run(`
      process.stdout.write("ok" + "x".repeat(5_000_000) + "\\nok short\\n");
      process.stdout.write("y".repeat(300_000), () => process.stdout.write("\\nok after\\n"));
      setInterval(() => undefined, 1_000);
    `);
    await until(() => lines.includes("ok after"), "the line after");
    expect(lines).toEqual(["ok short", "ok after"]);
  });
});

describe("a program that ends", () => {
  it("is started again, with its code and last words told", async () => {
    const { problems, pids } = run(`console.log("ok"); console.log("it broke"); process.exitCode = 9;`);
    await until(() => problems.length >= 3, "three ends");
    expect(problems[0]).toEqual({ kind: "ended", code: 9, words: "it broke" });
    expect(pids.size).toBeGreaterThanOrEqual(3);
  });

  it("has its words on stderr told too, cut short", async () => {
    const { problems } = run(`console.error("E".repeat(5_000)); process.exitCode = 2;`);
    await until(() => problems.length >= 1, "an end");
    expect(problems[0]).toEqual({ kind: "ended", code: 2, words: "E".repeat(200) });
  });

  it("is started after longer and longer pauses", async () => {
    const { reportedAt } = run("", { firstPause: 20, longestPause: 10_000 });
    await until(() => reportedAt.length >= 4, "four ends");
    const pauses = reportedAt.slice(1).map((at, before) => at - (reportedAt[before] ?? 0));
    // A timer may fire a millisecond early by this clock; late it may be by any time.
    expect(pauses.every((pause, at) => pause >= 20 * 2 ** at - 1)).toBe(true);
  });
});

it("a program that isn't there is told as missing, and looked for again", async () => {
  const { problems, program } = run("", {}, "/nowhere/nvidia-smi");
  await until(() => problems.length >= 2, "two looks");
  expect(problems[0]).toEqual({ kind: "missing" });
  expect(program.pid).toBe(null);
});

it("a program that hangs is ended and started again", async () => {
  const { problems, pids } = runShell("echo ok; exec sleep 1000", { silence: 500 });
  await until(() => pids.size >= 2, "a second process");
  expect(problems[0]).toEqual({ kind: "silent" });
  const [first = 0] = pids;
  expect(isAlive(first)).toBe(false);
});

it("a program that prints nothing but garbage is ended, and its words are told", async () => {
  const { problems } = runShell("while :; do echo 'what?'; sleep 0.01; done", { silence: 500 });
  // One that was killed before it printed anything was silent.
  await until(() => problems.some(({ kind }) => kind === "garbage"), "the problem");
  expect(problems).toContainEqual({ kind: "garbage", words: "what?" });
});

it("never runs twice at a time, and after a stop not at all", async () => {
  const { program, pids } = run(`console.log("ok"); setInterval(() => undefined, 1_000);`);
  await until(() => pids.size === 1, "the process");
  program.start();
  program.restart({ kind: "silent" });
  program.restart({ kind: "silent" });
  await until(() => pids.size === 2, "the next process");
  const [first = 0, second = 0] = pids;
  expect(isAlive(first)).toBe(false);
  await program.stop();
  // A stop waits 2 s for it and no longer.
  await until(() => !isAlive(second) && program.pid === null, "its end");
  program.start();
  expect(program.pid).toBe(null);
});
