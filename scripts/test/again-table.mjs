// The table that `npm test -- --again` prints: runs of each file, and every failure with how often it happened. Pure.
import { failureText, titleOf } from "./failures.mjs";

/** @typedef {import("./counts.mjs").Counts} Counts */
/** @typedef {import("./run-record.mjs").Failure} Failure */
/** @typedef {{ file: string, records: { failures: readonly Failure[], counts: Counts }[] }} FileRuns */

const COLUMN = 8;

/** @param {readonly FileRuns[]} all */
export function againText(all) {
  const rows = all.map(({ file, records }) => {
    const failed = records.filter(({ failures }) => failures.length > 0).length;
    return row([records.length, records.length - failed, failed], file);
  });
  return [row(["runs", "passed", "failed"], "file"), ...rows, ...all.flatMap(failuresOf)].join("\n");
}

/** @param {readonly (string | number)[]} columns @param {string} file */
function row(columns, file) {
  return `${columns.map((column) => String(column).padStart(COLUMN)).join("")}  ${file}`;
}

/** Each failing test once, with its first error. @param {FileRuns} runs */
function failuresOf({ records }) {
  /** @type {Map<string, { failure: Failure, runs: Set<object> }>} */
  const byTitle = new Map();
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
