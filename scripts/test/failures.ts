// Formats a failure: its place, the error, and the command that runs it alone. Pure.
import type { ErrorReport, Failure } from "./run-record.ts";

const MAX_MESSAGE_LINES = 25;
const MAX_DETAIL_LINES = 40;
/** Beyond these, failures are named without their errors: the first ones explain the rest. */
const MAX_EXPLAINED = 40;

export function failuresText(failures: readonly Failure[]) {
  const explained = failures.slice(0, MAX_EXPLAINED).map((failure, index) => failureText(failure, index + 1));
  const named = failures.slice(MAX_EXPLAINED).map((failure, index) => {
    return `${index + 1 + MAX_EXPLAINED}) ${titleOf(failure)}`;
  });
  return [...explained, ...(named.length === 0 ? [] : [named.join("\n")])].join("\n\n");
}

export function failureText(failure: Failure, number: number) {
  const output =
    failure.output.length === 0 ? [] : ["it printed:", ...failure.output.map((line) => `  ${line}`)];
  const command = commandOf(failure);
  const body = [...failure.errors.flatMap(errorLines), ...output, ...(command === null ? [] : [command])];
  return [`${number}) ${titleOf(failure)}`, ...body.map((line) => `   ${line}`)].join("\n");
}

export function titleOf({ file, name }: Pick<Failure, "file" | "name">) {
  if (file === null) return "outside any test";
  return name === null ? file : `${file} > ${name}`;
}

function errorLines({ message, at, details }: ErrorReport) {
  return [
    ...firstOf(message.split("\n"), MAX_MESSAGE_LINES),
    ...firstOf(details, MAX_DETAIL_LINES),
    ...(at === null ? [] : [`at ${at}`]),
  ];
}

function firstOf(lines: readonly string[], count: number) {
  return lines.length <= count ? lines : [...lines.slice(0, count), `… ${lines.length - count} more lines`];
}

/**
 * The command that runs this test alone.
 * @returns null: it belongs to no file
 */
export function commandOf({ file, name, isTest }: Pick<Failure, "file" | "name" | "isTest">): string | null {
  if (file === null) return null;
  return name === null ? `npm test -- ${file}` : `npm test -- ${file} -t "${patternOf(name, isTest)}"`;
}

/**
 * A pattern that matches this name, for vitest's -t. A dot stands for each character that means something to a
 * regular expression or a shell, so that the command can be copied as it is.
 * @param isWhole false: tests of a suite have its name and more
 */
function patternOf(name: string, isWhole: boolean) {
  const safe = name.replace(/[\\^$.*+?()[\]{}|"'`!]/g, ".").replace(/\p{Cc}/gu, "\\W");
  return `^${safe}${isWhole ? "$" : ""}`;
}
