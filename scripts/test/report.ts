// The report at the end of `npm test`: what failed, how each stage went, and the counts that CI reads. Pure.
import { countsText, sumOf, type Counts } from "./counts.ts";
import { failuresText } from "./failures.ts";
import type { Stage } from "./stages.ts";
import type { Failure } from "./run-record.ts";

const NAME_WIDTH = 8;
const SECONDS_WIDTH = 4;

export interface StageResult {
  stage: Stage;
  /** False: it was interrupted. */
  isComplete: boolean;
  seconds: string;
  counts: Counts;
  failures: readonly Failure[];
  /** Of the failed parts of the check. */
  output: string;
}

export function reportOf({
  stages,
  results,
  notes,
  forVitest,
  isInterrupted,
}: {
  /** All that were to run. */
  stages: readonly Stage[];
  results: readonly StageResult[];
  notes: readonly string[];
  forVitest: readonly string[];
  isInterrupted: boolean;
}): { text: string; hasFailed: boolean } {
  const counts = sumOf(results.map(({ counts }) => counts));
  // Tests that were left out for a reason match, though none ran.
  const isEmpty = forVitest.length > 0 && counts.passed + counts.failed === 0 && notes.length === 0;
  const problems = [];
  if (isInterrupted) problems.push("Interrupted.");
  else if (isEmpty) problems.push(`No test matches ${forVitest.join(" ")}.`);

  const notRun = stages.slice(results.length).map((stage) => `not run ${stage}`);
  const hasFailed = counts.failed > 0 || problems.length > 0;
  const texts = [
    ...results.map(({ output }) => output),
    failuresText(results.flatMap(({ failures }) => failures)),
    [...results.map(summaryLine), ...notRun].join("\n"),
    [...notes, ...problems].join("\n"),
    // "0 failed" must not be printed below a failed run.
    countsText(hasFailed && counts.failed === 0 ? { ...counts, failed: 1 } : counts),
  ];
  return { text: texts.filter((text) => text !== "").join("\n\n"), hasFailed };
}

function summaryLine({ stage, isComplete, seconds, counts }: StageResult) {
  const took = `${stateOf(counts.failed, isComplete).padEnd(NAME_WIDTH)}${stage.padEnd(NAME_WIDTH)} ${seconds.padStart(SECONDS_WIDTH)} s`;
  return stage === "check" ? took : `${took}  ${countsText(counts)}`;
}

export function stateOf(failed: number, isComplete: boolean) {
  if (failed > 0) return "FAILED";
  return isComplete ? "ok" : "ended";
}
