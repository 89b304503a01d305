// `npm test`: every stage in turn, whatever failed before; then what failed, and the counts in the last line, for CI.
import { check, checkParts, partText } from "./check.ts";
import { CHROMIUM_ADVICE, ensureChromium } from "./install/chromium.ts";
import { watchInterrupt } from "./stack/interrupt.ts";
import { runAgain } from "./test/again.ts";
import { readTestArguments, TEST_USAGE } from "./test/arguments.ts";
import { countsText, NO_TESTS } from "./test/counts.ts";
import { missingFile, missingFolder } from "./test/preconditions.ts";
import { Progress } from "./test/progress.ts";
import { reportOf, stateOf, type StageResult } from "./test/report.ts";
import { RunRecord } from "./test/run-record.ts";
import { BROWSER_STAGES, PROJECTS, type Stage } from "./test/stages.ts";
import { runVitest } from "./test/vitest-run.ts";

const interrupt = watchInterrupt();
const progress = new Progress();
process.exitCode = await main();
interrupt.ignore();

/** @returns the exit code */
async function main(): Promise<number> {
  const wanted = readTestArguments(process.argv.slice(2));
  switch (wanted.kind) {
    case "help":
      console.log(TEST_USAGE);
      return 0;
    case "refused":
      console.error(`${wanted.message}\n\n${TEST_USAGE}`);
      return 1;
    case "again": {
      const missing = missingFile(wanted.files) ?? missingFolder();
      if (missing !== null) return refuse(missing);
      const { text, hasPassed } = await runAgain(wanted, { progress, signal: interrupt.signal });
      console.log(`\n${text}`);
      return interrupt.exitCode() || (hasPassed ? 0 : 1);
    }
    case "stages":
      return runStages(wanted.stages, wanted.forVitest);
  }
}

/** @returns the exit code */
function refuse(message: string): number {
  console.log(`${message}\n\n${countsText({ ...NO_TESTS, failed: 1 })}`);
  return 1;
}

/** @returns the exit code */
async function runStages(stages: readonly Stage[], forVitest: readonly string[]): Promise<number> {
  const missing = stages.some((stage) => stage !== "check") ? missingFolder() : null;
  if (missing !== null) return refuse(missing);
  const notes: string[] = [];
  if (stages.some((stage) => BROWSER_STAGES.includes(stage))) {
    const { path, problem } = await ensureChromium({
      onInstall: () => progress.print("installing Chromium"),
    });
    if (problem !== null) return refuse(problem);
    if (path === null)
      notes.push(`Tests in a browser were not run: there is no Chromium. ${CHROMIUM_ADVICE}`);
  }
  const results: StageResult[] = [];
  for (const stage of stages) {
    if (interrupt.signal.aborted) break;
    results.push(stage === "check" ? await runCheck() : await runTests(stage, forVitest));
  }
  const { text, hasFailed } = reportOf({
    stages,
    results,
    notes,
    forVitest,
    isInterrupted: interrupt.signal.aborted,
  });
  console.log(`\n${text}`);
  return interrupt.exitCode() || (hasFailed ? 1 : 0);
}

async function runCheck(): Promise<StageResult> {
  const total = checkParts().length;
  let done = 0;
  progress.start("check", () => `${done} of ${total} parts`);
  const failed = await check({ onEnd: () => (done += 1), signal: interrupt.signal });
  const counts = { ...NO_TESTS, failed: failed.length };
  const names = failed.map(({ name }) => name).join(", ");
  const stageSeconds = finish("check", failed.length, names === "" ? "" : `: ${names}`);
  return {
    stage: "check",
    isComplete: !interrupt.signal.aborted,
    seconds: stageSeconds,
    counts,
    failures: [],
    output: failed.map(partText).join("\n"),
  };
}

async function runTests(stage: Exclude<Stage, "check">, forVitest: readonly string[]): Promise<StageResult> {
  const record = new RunRecord(performance.now());
  progress.start(stage, () => record.state);
  // A name may match tests of another stage only.
  const mayBeEmpty = forVitest.length > 0 ? ["--passWithNoTests"] : [];
  const args = ["--project", PROJECTS[stage], ...mayBeEmpty, ...forVitest];
  await runVitest(args, { signal: interrupt.signal, record });
  const { counts, failures } = record;
  const seconds = finish(stage, counts.failed, `: ${countsText(counts)}`);
  return { stage, isComplete: !interrupt.signal.aborted, seconds, counts, failures, output: "" };
}

/** @returns the seconds it took */
function finish(stage: Stage, failed: number, what: string): string {
  let took = "";
  progress.finish(stage, (seconds) => {
    took = seconds;
    return `${stage.padEnd(8)} ${stateOf(failed, !interrupt.signal.aborted)}${what} (${seconds} s)`;
  });
  return took;
}
