// Runs vitest to its end and records what the reporter sends. Ends a run in which a file hangs.
import { join } from "node:path";
import { OFFLINE } from "../commands.mjs";
import { PROJECT_NODE, ROOT } from "../paths.mjs";
import { describeExit, startProgram } from "../program.mjs";
import { RunRecord } from "./run-record.mjs";

const VITEST = join(ROOT, "node_modules", "vitest", "vitest.mjs");
const REPORTER = join(ROOT, "scripts", "test", "reporter.mjs");

/** Longer than vitest.config.ts lets a test or a hook take: past this, vitest itself is stuck. */
export const HUNG_MS = 360_000;
const WATCH_MS = 1_000;
const SHOWN_LINES = 40;

/** @typedef {import("./run-record.mjs").TestEvent} TestEvent */

/**
 * @param {readonly string[]} args for `vitest run`
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {RunRecord} [options.record] filled while the run goes on
 * @param {number} [options.hungMs]
 * @param {string} [options.cwd]
 * @returns {Promise<RunRecord>}
 */
export async function runVitest(args, options) {
  const { signal, hungMs = HUNG_MS, cwd = ROOT, record = new RunRecord(performance.now()) } = options;
  const command = {
    command: PROJECT_NODE,
    args: [VITEST, "run", `--reporter=${REPORTER}`, ...args],
    env: { .../** @type {Record<string, string>} */ (process.env), ...OFFLINE },
  };
  let isEnding = false;
  const onEvent = (/** @type {string} */ line) => {
    // What a run shows while it is killed is no result.
    if (!isEnding) record.take(/** @type {TestEvent} */ (JSON.parse(line)), performance.now());
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
