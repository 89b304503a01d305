// Formats the results of `isha doctor` and `isha check`: a line for each check, what is wrong first, with the command that
// fixes it. Pure.
import type { Output } from "../context.ts";
import type { Result, Verdict } from "../doctor/check.ts";
import { plain } from "./safe-text.ts";
import { bold } from "./table.ts";

const MARKS: Readonly<Record<Verdict, string>> = {
  wrong: "WRONG",
  unknown: "?",
  noted: "note",
  fine: "fine",
  skipped: "–",
};
const ORDER: readonly Verdict[] = ["wrong", "unknown", "noted", "fine", "skipped"];
const MARK_WIDTH = Math.max(...Object.values(MARKS).map((mark) => mark.length));

export function doctorText(results: readonly Result[], screen: Pick<Output, "colours">): string {
  const width = Math.max(...results.map(({ check }) => check.length));
  const sorted = results.toSorted((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
  const lines = sorted.map(({ check, verdict, text, fix }) => {
    const mark = MARKS[verdict].padEnd(MARK_WIDTH);
    const line = `${verdict === "wrong" ? bold(mark, screen) : mark}  ${check.padEnd(width)}  ${plain(text)}\n`;
    return fix === undefined ? line : `${line}${" ".repeat(MARK_WIDTH + width + 4)}→ ${plain(fix)}\n`;
  });
  return `${lines.join("")}\n${summary(results)}\n`;
}

function summary(results: readonly Result[]): string {
  const count = (verdict: Verdict): number => results.filter((result) => result.verdict === verdict).length;
  const parts = [`${count("fine")} fine`, `${count("wrong")} wrong`, `${count("unknown")} not checked`];
  if (count("noted") > 0) parts.push(`${count("noted")} noted`);
  if (count("skipped") > 0) parts.push(`${count("skipped")} don't apply here`);
  return parts.join(", ");
}
