// `npm test`: the steps in order, up to the first that fails. The last line has the counts, for CI to read.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check } from "./check.mjs";
import { ROOT } from "./paths.mjs";
import { runNode } from "./run-node.mjs";
import { readTestArguments, TEST_USAGE } from "./test-arguments.mjs";
import { addCounts, countsLine, countTests, NO_TESTS } from "./test-counts.mjs";

/** @typedef {import("./test-arguments.mjs").Step} Step */
/** @typedef {import("./test-counts.mjs").Counts} Counts */

const HEADLINES = /** @type {const} */ ({
  check: "check: fleet file, format, lint, types",
  unit: "unit tests on Node",
  worker: "tests of the edge in workerd",
  e2e: "end-to-end tests",
});

/** Vitest's projects of a step; those of the last one follow each other. */
const PROJECTS = /** @type {const} */ ({ unit: "node", worker: "worker", e2e: "e2e*" });

const { steps, forVitest, help } = readTestArguments(process.argv.slice(2));
if (help) console.log(TEST_USAGE);
else process.exitCode = await main();

/** @returns {Promise<number>} the exit code */
async function main() {
  let counts = NO_TESTS;
  /** @type {string[]} */
  const summary = [];
  let failure = "";
  for (const step of steps) {
    console.log(`\n── ${HEADLINES[step]}\n`);
    const started = performance.now();
    const result = await runStep(step);
    counts = addCounts(counts, result.counts);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    summary.push(`${result.failure === "" ? "ok    " : "FAILED"}  ${step} (${seconds} s)`);
    failure = result.failure;
    if (failure !== "") break;
  }
  if (failure === "" && forVitest.length > 0 && counts.passed + counts.skipped === 0) {
    failure = `no test matches ${forVitest.join(" ")}`;
  }
  const left = steps.slice(summary.length);
  console.log(["", ...summary, ...left.map((step) => `not run ${step}`)].join("\n"));
  if (failure !== "") console.log(`\nFailed: ${failure}. \`npm test -- STEP\` runs one step alone.`);
  console.log(`\n${countsLine(failure !== "" && counts.failed === 0 ? { ...counts, failed: 1 } : counts)}`);
  return failure === "" ? 0 : 1;
}

/** @param {Step} step @returns {Promise<{ counts: Counts, failure: string }>} */
async function runStep(step) {
  if (step !== "check") return runVitest(step);
  const failed = await check();
  return { counts: NO_TESTS, failure: failed.length === 0 ? "" : failed.join(", ") };
}

/** @param {Exclude<Step, "check">} step */
async function runVitest(step) {
  const folder = await mkdtemp(join(tmpdir(), "isha-test-"));
  try {
    const file = join(folder, "report.json");
    const exitCode = await runNode([
      join(ROOT, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--project",
      PROJECTS[step],
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
      // A name may fit tests of another step only.
      ...(forVitest.length > 0 ? ["--passWithNoTests"] : []),
      ...forVitest,
    ]);
    const report = await readFile(file, "utf8").then(JSON.parse, () => null);
    const failure = exitCode === 0 ? "" : `${step} tests (exit code ${exitCode})`;
    return { counts: countTests(report, exitCode), failure };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
