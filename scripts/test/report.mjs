// The report at the end of `npm test`: what failed, how each stage went, and the counts that CI reads. Pure.
import { countsText, sumOf } from "./counts.mjs";
import { failuresText } from "./failures.mjs";

const NAME_WIDTH = 8;
const SECONDS_WIDTH = 4;

/** @typedef {import("./stages.mjs").Stage} Stage */
/**
 * @typedef {object} StageResult
 * @property {Stage} stage
 * @property {boolean} isComplete false: it was interrupted
 * @property {string} seconds
 * @property {import("./counts.mjs").Counts} counts
 * @property {readonly import("./run-record.mjs").Failure[]} failures
 * @property {string} output of the failed parts of the check
 */

/**
 * @param {object} run
 * @param {readonly Stage[]} run.stages all that were to run
 * @param {readonly StageResult[]} run.results
 * @param {readonly string[]} run.notes
 * @param {readonly string[]} run.forVitest
 * @param {boolean} run.isInterrupted
 * @returns {{ text: string, hasFailed: boolean }}
 */
export function reportOf({ stages, results, notes, forVitest, isInterrupted }) {
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
    // "0 failed" must not stand under a run that failed.
    countsText(hasFailed && counts.failed === 0 ? { ...counts, failed: 1 } : counts),
  ];
  return { text: texts.filter((text) => text !== "").join("\n\n"), hasFailed };
}

/** @param {StageResult} result */
function summaryLine({ stage, isComplete, seconds, counts }) {
  const took = `${stateOf(counts.failed, isComplete).padEnd(NAME_WIDTH)}${stage.padEnd(NAME_WIDTH)} ${seconds.padStart(SECONDS_WIDTH)} s`;
  return stage === "check" ? took : `${took}  ${countsText(counts)}`;
}

/** @param {number} failed @param {boolean} isComplete */
export function stateOf(failed, isComplete) {
  if (failed > 0) return "FAILED";
  return isComplete ? "ok" : "ended";
}
