// What `npm test` was asked to run. Pure.

export const STEPS = /** @type {const} */ (["check", "unit", "worker", "e2e"]);

export const TEST_USAGE = `Usage: npm test [-- STEP… [arguments for vitest]]
Steps, in this order; all of them if none is named:

  check    fleet file, format, lint, types
  unit     tests on Node: pure cores, agent, simulators, scripts
  worker   tests of the edge, inside workerd
  e2e      the whole product, from outside

A file or -t "name" without a step looks for it in all the tests.`;

/** @typedef {(typeof STEPS)[number]} Step */
/** @typedef {{ steps: Step[], forVitest: string[], help: boolean }} TestArguments */

/**
 * @param {readonly string[]} argv
 * @returns {TestArguments}
 */
export function readTestArguments(argv) {
  const given = argv.filter((argument) => argument !== "--");
  if (given[0] === "--help" || given[0] === "-h") return { steps: [], forVitest: [], help: true };
  const end = given.findIndex((argument) => !isStep(argument));
  const named = end === -1 ? given : given.slice(0, end);
  const forVitest = end === -1 ? [] : given.slice(end);
  const chosen = named.length > 0 ? STEPS.filter((step) => named.includes(step)) : [...STEPS];
  // Arguments for vitest mean certain tests: the check has none.
  const steps =
    named.length === 0 && forVitest.length > 0 ? chosen.filter((step) => step !== "check") : chosen;
  return { steps, forVitest, help: false };
}

/** @param {string} argument @returns {argument is Step} */
function isStep(argument) {
  return STEPS.some((step) => step === argument);
}
