// Formats a usage report as CSV for spreadsheets: RFC 4180 with a header row, and no cell that a spreadsheet would run
// as a formula.
import type { UsageReport } from "../../shared/usage-report.ts";

const COLUMNS = [
  "calls",
  "complete",
  "promptTokens",
  "cachedTokens",
  "completionTokens",
  "estimatedCalls",
] as const satisfies readonly (keyof UsageReport["total"])[];

/** The name of the row of a split report that sums up all other names. */
const OTHERS = "(others)";

export function usageCsv({ by, split, rows }: UsageReport): string {
  const lines = [
    [by, ...(split === undefined ? [] : [split]), ...COLUMNS],
    ...rows.map((row) => [
      row.group,
      ...(split === undefined ? [] : [row.split ?? OTHERS]),
      ...COLUMNS.map((column) => String(row[column])),
    ]),
  ];
  return lines.map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

/** Quoted if necessary. A text that begins like a formula gets a leading apostrophe: a key's id may begin with "-". */
function cell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
