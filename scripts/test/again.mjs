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
 * @param {{ times: number, files: readonly string[], forVitest: readonly string[] }} wanted
 * @param {{ progress: Progress, signal: AbortSignal }} options
 * @returns {Promise<boolean>} whether every run passed
 */
export async function runAgain({ times, files, forVitest }, { progress, signal }) {
  const loops = startBusyLoops();
  /** @type {FileRuns[]} */
  const all = [];
  try {
    for (const file of files) {
      /** @type {FileRuns} */
      const runs = { file, records: [] };
      all.push(runs);
      for (let run = 1; run <= times && !signal.aborted; run += 1) {
        const record = await runOnce(file, forVitest, { progress, signal, label: `${run} of ${times}` });
        if (!signal.aborted) runs.records.push(record);
      }
    }
  } finally {
    await Promise.all(loops.map((loop) => loop.end(0)));
  }
  console.log(
    `\n${againText(all)}\n\n${countsText(sumOf(all.flatMap(({ records }) => records.map(({ counts }) => counts))))}`,
  );
  return all.every(({ records }) => records.every(({ failures }) => failures.length === 0));
}

/**
 * @param {string} file
 * @param {readonly string[]} forVitest
 * @param {{ progress: Progress, signal: AbortSignal, label: string }} options
 */
async function runOnce(file, forVitest, { progress, signal, label }) {
  const record = new RunRecord(performance.now());
  const [stage = "unit"] = stagesOf(file);
  progress.start(label, () => `${file}: ${record.state}`);
  await runVitest(["--project", PROJECTS[stage], "--passWithNoTests", file, ...forVitest], {
    signal,
    record,
  });
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
