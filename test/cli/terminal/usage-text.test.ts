import { describe, expect, it } from "vitest";
import { usageTable } from "../../../cli/terminal/usage-text.ts";
import type { UsageReport, UsageSums } from "../../../shared/usage-report.ts";

const PLAIN = { columns: null, colours: false };

const sums = (calls: number, more: Partial<UsageSums> = {}): UsageSums => ({
  calls,
  complete: calls,
  promptTokens: calls * 100,
  cachedTokens: calls * 10,
  completionTokens: calls * 50,
  estimatedCalls: 0,
  ...more,
});

function report(rows: readonly (readonly [string, UsageSums])[], total: UsageSums): UsageReport {
  return {
    from: "2026-11-01T00:00:00.000Z",
    to: "2026-11-23T15:00:00.000Z",
    by: "key",
    key: null,
    total,
    rows: rows.map(([group, row]) => ({ group, ...row })),
  };
}

describe("usage as a table", () => {
  it("has a row for each key with its name, the total, and the number of estimated calls", () => {
    const text = usageTable(
      report(
        [
          ["3fA9kQ2mXw7b", sums(12_000, { complete: 11_990, estimatedCalls: 10 })],
          ["gone00000001", sums(8)],
        ],
        sums(12_008, { complete: 11_998, estimatedCalls: 10 }),
      ),
      new Map([["3fA9kQ2mXw7b", "Riverside Clinic"]]),
      PLAIN,
    );
    expect(text.split("\n")).toEqual([
      "KEY           NAME               CALLS  COMPLETE     PROMPT   CACHED   ANSWER     TOKENS",
      "3fA9kQ2mXw7b  Riverside Clinic  12,000   >99.9 %  1,200,000  120,000  600,000  1,800,000",
      "gone00000001                         8     100 %        800       80      400      1,200",
      "────────────  ────────────────  ──────  ────────  ─────────  ───────  ───────  ─────────",
      "total                           12,008   >99.9 %  1,200,800  120,080  600,400  1,801,200",
      "",
      "The tokens of 10 of 12,008 calls (<0.1 %) are estimated.",
      "",
    ]);
  });

  it("reports that nothing is estimated, and that there were no calls", () => {
    expect(usageTable(report([["a", sums(1)]], sums(1)), new Map(), PLAIN)).toContain(
      "counted by the model servers",
    );
    expect(usageTable(report([], sums(0)), new Map(), PLAIN)).toBe("No calls.\n");
  });
});
