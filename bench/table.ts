// Prints the measurements as a table. Pure.
import type { Measured, Row } from "./row.ts";

export interface Result {
  readonly row: Pick<Row, "name" | "unit" | "bound">;
  /** Null if it couldn't be measured; `skipped` if this machine lacks what it needs. */
  readonly measured: Measured | "skipped" | null;
}

const HEADINGS = ["", "figure", "floor", "ratio", "at most", "goal", "", ""];
/** Text columns; the others are figures and align to the right. */
const LEFT = new Set([0, 7]);

/** Whether a row's bound is kept. A row that failed keeps none; one without a bound or one that was skipped keeps it. */
export function isKept({ row: { bound }, measured }: Result): boolean {
  if (measured === null) return false;
  if (measured === "skipped" || bound === null) return true;
  const value = bound.on === "ratio" ? measured.ratio : measured.figure;
  return value !== null && value <= bound.atMost;
}

export function renderTable(results: readonly Result[]): string {
  const lines = [HEADINGS, ...results.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const padded = (cell: string, column: number): string =>
    LEFT.has(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((line) => line.map(padded).join("  ").trimEnd()).join("\n");
}

function cells(result: Result): string[] {
  const { row, measured } = result;
  const found = measured === "skipped" ? null : measured;
  const shown = (value: number | null | undefined): string =>
    value === null || value === undefined ? "" : `${round(value)} ${row.unit}`.trim();
  const ratio = found?.ratio ?? null;
  return [
    row.name,
    shown(found?.figure),
    shown(found?.floor),
    ratio === null ? "" : `${ratio.toFixed(2)} ×`,
    limitText(row, row.bound?.atMost),
    limitText(row, row.bound?.goal),
    verdict(result),
    found?.note ?? "",
  ];
}

function limitText({ bound, unit }: Result["row"], limit: number | undefined): string {
  if (bound === null || limit === undefined) return "";
  return bound.on === "ratio" ? `${limit} ×` : `${limit} ${unit}`.trim();
}

function verdict(result: Result): string {
  if (result.measured === null) return "FAILED";
  if (result.measured === "skipped") return "skipped";
  if (result.row.bound === null) return "";
  return isKept(result) ? "ok" : "OVER";
}

/** The measurement isn't good for more than three digits. */
function round(value: number): string {
  if (value === 0) return "0";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
