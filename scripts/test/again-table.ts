// The table that `npm test -- --again` prints: runs of each file, and every failure with how often it happened. Pure.
import { failureText, titleOf } from "./failures.ts";
import type { Counts } from "./counts.ts";
import type { Failure } from "./run-record.ts";

export interface FileRuns {
  file: string;
  records: { failures: readonly Failure[]; counts: Counts }[];
}

const COLUMN = 8;

export function againText(all: readonly FileRuns[]) {
  const rows = all.map(({ file, records }) => {
    const failed = records.filter(({ failures }) => failures.length > 0).length;
    return row([records.length, records.length - failed, failed], file);
  });
  return [row(["runs", "passed", "failed"], "file"), ...rows, ...all.flatMap(failuresOf)].join("\n");
}

function row(columns: readonly (string | number)[], file: string) {
  return `${columns.map((column) => String(column).padStart(COLUMN)).join("")}  ${file}`;
}

/** Each failing test once, with its first error. */
function failuresOf({ records }: FileRuns) {
  const byTitle = new Map<string, { failure: Failure; runs: Set<object> }>();
  for (const record of records) {
    for (const failure of record.failures) {
      const known = byTitle.get(titleOf(failure)) ?? { failure, runs: new Set() };
      known.runs.add(record);
      byTitle.set(titleOf(failure), known);
    }
  }
  return [...byTitle.values()].map(({ failure, runs }, index) => {
    return `\nfailed in ${runs.size} of ${records.length} runs:\n${failureText(failure, index + 1)}`;
  });
}
