// Compares two texts line by line, for `isha generate --diff`: removed and added lines with a few lines around them. Pure.

/** Unchanged lines that are shown before and after a change. */
const CONTEXT = 2;

type Mark = " " | "-" | "+";

interface Line {
  readonly mark: Mark;
  readonly text: string;
}

/** @returns lines that begin with "-", "+" or a space; "…" stands for unchanged lines that are left out */
export function lineDiff(before: string, after: string): string[] {
  const lines = compare(linesOf(before), linesOf(after));
  const isNear = (at: number): boolean =>
    lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ mark }) => mark !== " ");
  const shown: string[] = [];
  for (const [at, { mark, text }] of lines.entries()) {
    if (isNear(at)) shown.push(`${mark}${text}`);
    else if (shown.at(-1) !== "…") shown.push("…");
  }
  return shown;
}

const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

/** By the longest common subsequence; the generated files have some hundred lines. */
function compare(a: readonly string[], b: readonly string[]): Line[] {
  const common = commonLengths(a, b);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    if (left !== undefined && left === right) {
      lines.push({ mark: " ", text: left });
      [i, j] = [i + 1, j + 1];
    } else if (
      right === undefined ||
      (left !== undefined && lengthAt(common, i + 1, j) >= lengthAt(common, i, j + 1))
    ) {
      lines.push({ mark: "-", text: left ?? "" });
      i += 1;
    } else {
      lines.push({ mark: "+", text: right });
      j += 1;
    }
  }
  return lines;
}

const lengthAt = (table: readonly Uint16Array[], i: number, j: number): number => table[i]?.[j] ?? 0;

/** `[i][j]`: the length of the longest common subsequence of the lines from i on and those from j on. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint16Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    const row = table[i];
    if (row === undefined) continue;
    for (let j = b.length - 1; j >= 0; j -= 1) {
      row[j] =
        a[i] === b[j]
          ? lengthAt(table, i + 1, j + 1) + 1
          : Math.max(lengthAt(table, i + 1, j), lengthAt(table, i, j + 1));
    }
  }
  return table;
}
