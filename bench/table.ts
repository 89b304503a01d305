// Prints the measurements as a table. Pure.
import type { Measured, Row } from "./rows.ts";

export interface Result {
  readonly row: Pick<Row, "name" | "unit" | "bound">;
  /** Null if it couldn't be measured. */
  readonly measured: Measured | null;
}

const HEADINGS = ["", "figure", "floor", "ratio", "at most", ""];

/** Whether a row's bound is kept; a row that couldn't be measured keeps none. */
export function isKept({ row: { bound }, measured }: Result): boolean {
  if (measured === null) return false;
  const held = bound.on === "ratio" ? measured.ratio : measured.figure;
  return held !== null && held <= bound.atMost;
}

export function renderTable(results: readonly Result[]): string {
  const lines = [HEADINGS, ...results.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function cells(result: Result): string[] {
  const { row, measured } = result;
  const shown = (value: number | null | undefined): string =>
    value === null || value === undefined ? "" : `${round(value)} ${row.unit}`;
  const ratio = measured?.ratio ?? null;
  const { on, atMost } = row.bound;
  return [
    row.name,
    shown(measured?.figure),
    shown(measured?.floor),
    ratio === null ? "" : `${ratio.toFixed(2)} ×`,
    on === "ratio" ? `${atMost} ×` : `${atMost} ${row.unit}`,
    measured === null ? "FAILED" : isKept(result) ? "ok" : "OVER",
  ];
}

/** Three digits are more than the measuring is good for. */
function round(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
