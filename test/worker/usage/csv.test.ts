import { describe, expect, it } from "vitest";
import type { UsageReport } from "../../../shared/usage-report.ts";
import { usageCsv } from "../../../worker/usage/csv.ts";

const sums = {
  calls: 3,
  complete: 2,
  promptTokens: 100,
  cachedTokens: 40,
  completionTokens: 50,
  estimatedCalls: 1,
};

const reportOf = (...groups: string[]): UsageReport => ({
  from: "2026-11-01T00:00:00.000Z",
  to: "2026-12-01T00:00:00.000Z",
  by: "key",
  key: null,
  total: sums,
  rows: groups.map((group) => ({ group, ...sums })),
});

const HEADER = "key,calls,complete,promptTokens,cachedTokens,completionTokens,estimatedCalls\r\n";

describe("a report as CSV", () => {
  it("has a header, one line per row and RFC 4180's line ends", () => {
    expect(usageCsv(reportOf("key-a", "-key-b"))).toBe(
      `${HEADER}key-a,3,2,100,40,50,1\r\n'-key-b,3,2,100,40,50,1\r\n`,
    );
  });

  it("has a second column for the names of a split report, and one row for the others", () => {
    const rows = [
      { group: "2026-11-01", split: "Model-1", ...sums },
      { group: "2026-11-01", split: null, ...sums },
    ];
    expect(usageCsv({ ...reportOf(), by: "day", split: "model", rows })).toBe(
      "day,model,calls,complete,promptTokens,cachedTokens,completionTokens,estimatedCalls\r\n" +
        "2026-11-01,Model-1,3,2,100,40,50,1\r\n2026-11-01,(others),3,2,100,40,50,1\r\n",
    );
  });

  it.each([
    ["=1+1", "'=1+1"],
    ["+1", "'+1"],
    ["@x", "'@x"],
    ["\tx", "'\tx"],
    ['a "b", c', '"a ""b"", c"'],
    ["a\nb", '"a\nb"'],
    ["", ""],
  ])("is not run by a spreadsheet and stays in its cell: %j", (text, expected) => {
    expect(usageCsv(reportOf(text))).toBe(`${HEADER}${expected},3,2,100,40,50,1\r\n`);
  });
});
