// Words what failed: where, the error, and the command that runs it alone. Pure.

const MAX_MESSAGE_LINES = 25;
const MAX_DETAIL_LINES = 40;
/** Beyond these, failures are named without their errors: the first ones explain the rest. */
const MAX_EXPLAINED = 40;

/** @typedef {import("./run-record.mjs").Failure} Failure */
/** @typedef {import("./run-record.mjs").ErrorReport} ErrorReport */

/** @param {readonly Failure[]} failures */
export function failuresText(failures) {
  const explained = failures.slice(0, MAX_EXPLAINED).map((failure, index) => failureText(failure, index + 1));
  const named = failures.slice(MAX_EXPLAINED).map((failure, index) => {
    return `${index + 1 + MAX_EXPLAINED}) ${titleOf(failure)}`;
  });
  return [...explained, ...(named.length === 0 ? [] : [named.join("\n")])].join("\n\n");
}

/** @param {Failure} failure @param {number} number */
export function failureText(failure, number) {
  const output =
    failure.output.length === 0 ? [] : ["it printed:", ...failure.output.map((line) => `  ${line}`)];
  const command = commandOf(failure);
  const body = [...failure.errors.flatMap(errorLines), ...output, ...(command === null ? [] : [command])];
  return [`${number}) ${titleOf(failure)}`, ...body.map((line) => `   ${line}`)].join("\n");
}

/** @param {Pick<Failure, "file" | "name">} failure */
export function titleOf({ file, name }) {
  if (file === null) return "outside any test";
  return name === null ? file : `${file} > ${name}`;
}

/** @param {ErrorReport} error */
function errorLines({ message, at, details }) {
  return [
    ...firstOf(message.split("\n"), MAX_MESSAGE_LINES),
    ...firstOf(details, MAX_DETAIL_LINES),
    ...(at === null ? [] : [`at ${at}`]),
  ];
}

/** @param {readonly string[]} lines @param {number} count */
function firstOf(lines, count) {
  return lines.length <= count ? lines : [...lines.slice(0, count), `… ${lines.length - count} more lines`];
}

/**
 * The command that runs this test alone.
 * @param {Pick<Failure, "file" | "name" | "isTest">} failure
 * @returns {string | null} null: it belongs to no file
 */
export function commandOf({ file, name, isTest }) {
  if (file === null) return null;
  return name === null ? `npm test -- ${file}` : `npm test -- ${file} -t "${patternOf(name, isTest)}"`;
}

/**
 * A pattern that matches this name, for vitest's -t. A dot stands for each character that means something to a
 * regular expression or a shell, so that the command can be copied as it is.
 * @param {string} name
 * @param {boolean} isWhole false: tests of a suite have its name and more
 */
function patternOf(name, isWhole) {
  const safe = name.replace(/[\\^$.*+?()[\]{}|"'`!]/g, ".").replace(/\p{Cc}/gu, "\\W");
  return `^${safe}${isWhole ? "$" : ""}`;
}
