// Runs test files many times while busy loops occupy every core: `npm test -- --again N FILE…`.
import { availableParallelism } from "node:os";
import { PROJECT_NODE, ROOT } from "../paths.mjs";
import { startProgram } from "../program.mjs";
import { countsText, sumOf } from "./counts.mjs";
import { againText } from "./again-table.mjs";
import { RunRecord } from "./run-record.mjs";
import { PROJECTS, stagesOf } from "./stages.mjs";
import { runVitest } from "./vitest-run.mjs";

/** @typedef {import("./again-table.mjs").FileRuns} FileRuns */
/** @typedef {import("./progress.mjs").Progress} Progress */

/**
 * @typedef {object} AgainOptions
 * @property {Progress} progress
 * @property {AbortSignal} signal
 * @property {typeof runVitest} [run]
 * @property {() => { end: (graceMs: number) => Promise<void> }[]} [startLoops]
 */

/**
 * @param {{ times: number, files: readonly string[], forVitest: readonly string[] }} wanted
 * @param {AgainOptions} options
 * @returns {Promise<{ text: string, hasPassed: boolean }>}
 */
export async function runAgain({ times, files, forVitest }, options) {
  const { signal, startLoops = startBusyLoops } = options;
  const loops = startLoops();
  /** @type {FileRuns[]} */
  const all = [];
  try {
    for (const file of files) {
      /** @type {FileRuns} */
      const runs = { file, records: [] };
      all.push(runs);
      for (let run = 1; run <= times && !signal.aborted; run += 1) {
        const record = await runOnce(file, forVitest, `${run} of ${times}`, options);
        if (!signal.aborted) runs.records.push(record);
      }
    }
  } finally {
    await Promise.all(loops.map((loop) => loop.end(0)));
  }
  const records = all.flatMap(({ records }) => records);
  const counts = countsText(sumOf(records.map(({ counts }) => counts)));
  const texts = [againText(all), ...(signal.aborted ? ["Interrupted."] : []), counts];
  const hasPassed = records.every(({ failures }) => failures.length === 0) && !signal.aborted;
  return { text: texts.join("\n\n"), hasPassed };
}

/**
 * @param {string} file
 * @param {readonly string[]} forVitest
 * @param {string} label
 * @param {AgainOptions} options
 */
async function runOnce(file, forVitest, label, { progress, signal, run = runVitest }) {
  const record = new RunRecord(performance.now());
  const [stage = "unit"] = stagesOf(file);
  progress.start(label, () => `${file}: ${record.state}`);
  const args = ["--project", PROJECTS[stage], "--passWithNoTests", file, ...forVitest];
  await run(args, { signal, record });
  const { passed, failed } = record.counts;
  if (passed + failed === 0 && !signal.aborted) {
    record.addFault(`no test ran of ${[file, ...forVitest].join(" ")}`);
  }
  progress.finish(label, (seconds) => `${label}  ${file}: ${countsText(record.counts)} in ${seconds} s`);
  return record;
}

/** One for each core. Each ends by itself when this process is gone, however that ended. */
function startBusyLoops() {
  const loop = `while (process.ppid === ${process.pid});`;
  const command = { command: PROJECT_NODE, args: ["--eval", loop], env: {} };
  return Array.from({ length: availableParallelism() }, () =>
    startProgram("busy loop", command, { cwd: ROOT }),
  );
}
