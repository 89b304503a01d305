// Reads the arguments of `npm test`. Pure.
import { HEADLINES, STAGES, stagesOf, TEST_STAGES, type Stage } from "./stages.ts";

const MAX_TIMES = 10_000;

export const TEST_USAGE = `Usage: npm test [-- STAGE… [arguments for vitest]]
       npm test -- --again N FILE… [arguments for vitest]

Stages, in this order; all of them if none is named:

${STAGES.map((stage) => `  ${stage.padEnd(8)} ${HEADLINES[stage]}`).join("\n")}

A file or -t "name" without a stage runs in the stages that can hold it.

--again runs each file N times while busy loops occupy every core, to find tests that depend on the
machine's speed.`;

type TestArguments =
  | { kind: "help" }
  | { kind: "refused"; message: string }
  | { kind: "stages"; stages: Stage[]; forVitest: string[] }
  | { kind: "again"; times: number; files: string[]; forVitest: string[] };

export function readTestArguments(argv: readonly string[]): TestArguments {
  const given = argv.filter((argument) => argument !== "--");
  if (given[0] === "--help" || given[0] === "-h") return { kind: "help" };
  const at = given.findIndex((argument) => argument === "--again" || argument.startsWith("--again="));
  if (at === 0) return readAgain(given);
  if (at > 0) return refused(`--again comes first: npm test -- --again N FILE…; got ${given[0]} before it.`);

  const end = given.findIndex((argument) => !isStage(argument));
  const named = end === -1 ? given : given.slice(0, end);
  const forVitest = end === -1 ? [] : given.slice(end);
  if (named.length > 0) {
    return { kind: "stages", stages: STAGES.filter((stage) => named.includes(stage)), forVitest };
  }
  if (forVitest.length === 0) return { kind: "stages", stages: [...STAGES], forVitest };
  // Arguments for vitest name certain tests, and the check has none.
  const filters = filtersIn(forVitest);
  const possible = filters.length === 0 ? TEST_STAGES : filters.flatMap((filter) => [...stagesOf(filter)]);
  return { kind: "stages", stages: TEST_STAGES.filter((stage) => possible.includes(stage)), forVitest };
}

/** @param given the first one is `--again` or `--again=N` */
function readAgain(given: readonly string[]): TestArguments {
  const [first = "", ...rest] = given;
  const [count, ...others] = first === "--again" ? rest : [first.slice("--again=".length), ...rest];
  const times = /^\d+$/.test(count ?? "") ? Number(count) : 0;
  if (times < 1 || times > MAX_TIMES) {
    const got = count === undefined ? "nothing" : `"${count}"`;
    return refused(`--again needs a number of runs from 1 to ${MAX_TIMES}; got ${got}.`);
  }
  const end = others.findIndex((argument) => argument.startsWith("-"));
  const files = end === -1 ? others : others.slice(0, end);
  if (files.length === 0) return refused("--again needs at least one test file after the number of runs.");
  const wrong = files.find((file) => stagesOf(file).length !== 1 || !file.endsWith(".test.ts"));
  if (wrong !== undefined) {
    return refused(`--again needs test files by their path, such as test/a.test.ts; got ${wrong}.`);
  }
  return { kind: "again", times, files, forVitest: end === -1 ? [] : others.slice(end) };
}

const OPTIONS_WITH_A_VALUE = [
  "-t",
  "--testNamePattern",
  "--bail",
  "--shard",
  "--maxWorkers",
  "--testTimeout",
];

/** The arguments that say which files; one that isn't recognised as an option's value only adds stages. */
function filtersIn(forVitest: readonly string[]) {
  return forVitest.filter(
    (argument, index) =>
      !argument.startsWith("-") && !OPTIONS_WITH_A_VALUE.includes(forVitest[index - 1] ?? ""),
  );
}

function isStage(argument: string): argument is Stage {
  return STAGES.some((stage) => stage === argument);
}

function refused(message: string): TestArguments {
  return { kind: "refused", message };
}
