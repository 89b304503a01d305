// Runs test files many times while busy loops occupy every core: `npm test -- --again N FILE…`.
import { availableParallelism } from "node:os";
import { PROJECT_NODE, ROOT } from "../paths.ts";
import { startProgram } from "../stack/program.ts";
import { countsText, sumOf } from "./counts.ts";
import { againText, type FileRuns } from "./again-table.ts";
import { RunRecord } from "./run-record.ts";
import { PROJECTS, stagesOf } from "./stages.ts";
import { runVitest } from "./vitest-run.ts";
import type { Progress } from "./progress.ts";

interface AgainOptions {
  progress: Progress;
  signal: AbortSignal;
  run?: typeof runVitest;
  startLoops?: () => { end: (graceMs: number) => Promise<void> }[];
}

export async function runAgain(
  { times, files, forVitest }: { times: number; files: readonly string[]; forVitest: readonly string[] },
  options: AgainOptions,
): Promise<{ text: string; hasPassed: boolean }> {
  const { signal, startLoops = startBusyLoops } = options;
  const loops = startLoops();
  const all: FileRuns[] = [];
  try {
    for (const file of files) {
      const runs: FileRuns = { file, records: [] };
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

async function runOnce(
  file: string,
  forVitest: readonly string[],
  label: string,
  { progress, signal, run = runVitest }: AgainOptions,
) {
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
