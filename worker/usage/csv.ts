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

export function usageCsv(report: UsageReport): string {
  const lines = [
    [report.by, ...COLUMNS],
    ...report.rows.map((row) => [row.group, ...COLUMNS.map((column) => String(row[column]))]),
  ];
  return lines.map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

/** Quoted if necessary. A text that begins like a formula gets a leading apostrophe: a key's id may begin with "-". */
function cell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
