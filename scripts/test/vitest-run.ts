// Runs vitest to its end and records what the reporter sends. Ends a run in which a file hangs.
import { join } from "node:path";
import { OFFLINE } from "../stack/commands.ts";
import { PROJECT_NODE, ROOT } from "../paths.ts";
import { describeExit, startProgram } from "../stack/program.ts";
import { RunRecord, type TestEvent } from "./run-record.ts";

const VITEST = join(ROOT, "node_modules", "vitest", "vitest.mjs");
const REPORTER = join(ROOT, "scripts", "test", "reporter.ts");

/** Longer than vitest.config.ts lets a test or a hook take: past this, vitest itself is stuck. */
const HUNG_MS = 360_000;
const WATCH_MS = 1_000;
const SHOWN_LINES = 40;

/** @param args for `vitest run` */
export async function runVitest(
  args: readonly string[],
  options: {
    signal: AbortSignal;
    /** Filled while the run goes on. */
    record?: RunRecord;
    hungMs?: number;
    cwd?: string;
  },
): Promise<RunRecord> {
  const { signal, hungMs = HUNG_MS, cwd = ROOT, record = new RunRecord(performance.now()) } = options;
  const command = {
    command: PROJECT_NODE,
    args: [VITEST, "run", `--reporter=${REPORTER}`, ...args],
    env: { ...(process.env as Record<string, string>), ...OFFLINE },
  };
  let isEnding = false;
  const onEvent = (line: string) => {
    // What a run shows while it is killed is no result.
    if (!isEnding) record.take(JSON.parse(line) as TestEvent, performance.now());
  };
  // Another reporter that was asked for is there to be seen.
  const onLine = args.some((argument) => argument.startsWith("--reporter")) ? console.log : undefined;
  const program = startProgram("vitest", command, { cwd, onEvent, onLine });

  const end = () => {
    isEnding = true;
    void program.end();
  };
  const watch = setInterval(() => {
    const hung = record.findHung(performance.now(), hungMs);
    if (isEnding || hung.length === 0) return;
    record.endHung(hung, hungMs, program.lines(SHOWN_LINES));
    end();
  }, WATCH_MS);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();

  const exit = await program.exited;
  clearInterval(watch);
  signal.removeEventListener("abort", end);
  const hasFailed = exit.code !== 0 || !record.hasEnded;
  if (hasFailed && record.counts.failed === 0 && !signal.aborted) {
    const lines = program.lines(SHOWN_LINES);
    const printed = lines.length === 0 ? "it printed nothing; is there a test?" : "its last lines:";
    record.addFault([`vitest ended ${describeExit(exit)}; ${printed}`, ...lines].join("\n"));
  }
  return record;
}
