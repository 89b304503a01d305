// Finds what makes a test depend on the machine's speed, in the text of a test file. A scanner for our own style, not
// a parser of TypeScript.
import { withoutComments, withoutTexts } from "../shared/source-text.ts";
import { WAIT_MS } from "../support/until.ts";

export interface Finding {
  readonly line: number;
  readonly pattern: PatternName;
  readonly instead: string;
}

/** The shortest timeout of a wait that a starved machine doesn't reach. */
const MIN_WAIT_MS = 60_000;

const INSTEAD = {
  sleep: "wait for the condition with until() of test/support/until.ts, or pass a clock in",
  retry: "wait for the condition with until(); a test that fails now and then has a fault to fix",
  "short wait": `use until(), or a timeout of at least ${MIN_WAIT_MS} ms; the default is 1 s`,
  "not run": "run the test, or delete it",
  "wall clock": "assert what holds at any speed; measure speed in npm run bench",
} as const;

export type PatternName = keyof typeof INSTEAD;

/** Names of values that hold a duration. */
const DURATION =
  /\b(performance|Date)\.now\(|\b\w*([eE]lapsed|[tT]ook)\w*\b|\bms(Since|Until)\w*|\b\w*(since|Since)\w*Ms\b/;

/** @param text the whole file */
export function speedFindings(text: string): Finding[] {
  const code = withoutComments(text);
  // The same length and lines, so that a place found in one is the place in the other.
  const bare = withoutTexts(code);
  const found = [
    ...placesOf(bare, /\bnew Promise\b[^;]{0,200}?\bsetTimeout\b/g, "sleep"),
    ...placesOf(
      bare,
      /\bpromisify\(\s*setTimeout\b|\bscheduler\s*\.\s*wait\(|\bAtomics\s*\.\s*wait\(/g,
      "sleep",
    ),
    ...placesOf(code, /["'](node:)?timers\/promises["']/g, "sleep"),
    ...placesOf(bare, /[{,]\s*retry\s*:/g, "retry"),
    ...placesOf(
      bare,
      /\b(it|test|describe|suite|bench)\b[\w.]*\.(skip|only|todo)\b|\b(context|ctx|task)\.skip\(/g,
      "not run",
    ),
    ...shortWaits(bare),
    ...wallClockAssertions(bare),
  ];
  return found.sort((a, b) => a.line - b.line);
}

function placesOf(text: string, regex: RegExp, pattern: PatternName): Finding[] {
  return [...text.matchAll(regex)].map(({ index, 0: whole }) => {
    // Where the pattern ends is where its own word stands: `setTimeout`, not `new Promise` some lines above.
    return findingAt(text, index + whole.length, pattern);
  });
}

function findingAt(text: string, index: number, pattern: PatternName): Finding {
  return { line: text.slice(0, index).split("\n").length, pattern, instead: INSTEAD[pattern] };
}

function shortWaits(bare: string): Finding[] {
  const waits = bare.matchAll(/\b(vi\.waitFor|vi\.waitUntil|expect\.poll)(<[^()]*>)?\(/g);
  return [...waits].flatMap(({ index, 0: opening }) => {
    const call = callAt(bare, index + opening.length - 1);
    const [, timeout] = /\btimeout:\s*([\w.]+)/.exec(call) ?? [];
    const ms = timeout === undefined ? 0 : numberOf(bare, timeout);
    return ms >= MIN_WAIT_MS ? [] : [findingAt(bare, index, "short wait")];
  });
}

/** The value of a number as written, or of a constant of the file. */
function numberOf(bare: string, written: string): number {
  if (/^[\d_]+$/.test(written)) return Number(written.replaceAll("_", ""));
  if (written === "WAIT_MS") return WAIT_MS;
  const [, value] = new RegExp(`\\bconst ${written}\\b[^=\\n]*=\\s*([\\d_]+);`).exec(bare) ?? [];
  return value === undefined ? 0 : numberOf(bare, value);
}

function wallClockAssertions(bare: string): Finding[] {
  const durations = durationsOf(bare);
  const isDuration = (text: string): boolean =>
    DURATION.test(text) ||
    durations.some((name) => new RegExp(`(?<![\\w.])${name}\\b(?!\\s*[:(])`).test(text));
  return [...bare.matchAll(/\bexpect(\.soft)?\(/g)].flatMap(({ index, 0: opening }) => {
    const value = callAt(bare, index + opening.length - 1);
    const after = bare.slice(index + opening.length - 1 + value.length);
    const matcher = /^(\s*\.\w+)*?\s*\.(toBe(?:LessThan|GreaterThan|CloseTo)\w*)\(/.exec(after);
    const bound = matcher === null ? "" : callAt(after, matcher[0].length - 1);
    const isMeasured = matcher !== null && (isDuration(value) || isDuration(bound));
    // A comparison inside of expect(…) is one too.
    const isCompared = /[<>]=?/.test(value.replaceAll("=>", "  ")) && isDuration(value);
    return isMeasured || isCompared ? [findingAt(bare, index, "wall clock")] : [];
  });
}

/** The constants and variables of a file that hold a difference of two readings of a clock. */
function durationsOf(bare: string): string[] {
  const declared = bare.matchAll(/\b(?:const|let) (\w+)\b[^=;]*=([^;]*);/g);
  return [...declared].flatMap(([, name = "", value = ""]) => {
    const isDifference = /\b(performance|Date)\.now\(\)\s*-|-\s*(performance|Date)\.now\(\)/.test(value);
    return isDifference && !value.includes("=>") ? [name] : [];
  });
}

/** The text of a call's arguments with their parentheses, from the opening one on. */
function callAt(bare: string, open: number): string {
  let depth = 0;
  for (let at = open; at < bare.length; at += 1) {
    if (bare[at] === "(") depth += 1;
    if (bare[at] === ")") depth -= 1;
    if (depth === 0) return bare.slice(open, at + 1);
  }
  return bare.slice(open);
}
