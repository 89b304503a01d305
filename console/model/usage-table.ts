// The usage report as rows with bars.
import { unlistedKey } from "../../shared/keys.ts";
import type { UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { figure, share, tokens, UNKNOWN } from "./format.ts";

export interface UsageRow {
  readonly group: string;
  readonly name: string;
  /** What an id without a name stands for; empty for other rows. */
  readonly note: string;
  readonly calls: string;
  /** Share of the calls with a complete answer. */
  readonly complete: string;
  readonly prompt: string;
  readonly cached: string;
  readonly completion: string;
  readonly share: number;
  readonly estimated: string;
}

/** @param names the keys' names by id. */
export function usageRows(report: UsageReport, names: ReadonlyMap<string, string>): UsageRow[] {
  const max = Math.max(0, ...report.rows.map(tokensOf));
  const isKeys = report.by === "key";
  return report.rows.map(({ group, split: _split, ...sums }) => ({
    ...usageRow(group, sums, max),
    name: (isKeys ? names.get(group) : undefined) ?? group,
    note: (isKeys ? unlistedKey(group) : null) ?? "",
  }));
}

export function totalRow(report: UsageReport): UsageRow {
  return { ...usageRow("total", report.total, 0), name: "Total" };
}

function usageRow(group: string, sums: UsageSums, max: number): UsageRow {
  return {
    group,
    name: group,
    note: "",
    calls: figure(sums.calls),
    complete: percent(sums.complete, sums.calls, 1),
    prompt: tokens(sums.promptTokens),
    cached: percent(sums.cachedTokens, sums.promptTokens, 0),
    completion: tokens(sums.completionTokens),
    share: share(tokensOf(sums), max),
    estimated: sums.estimatedCalls === 0 ? "" : `${figure(sums.estimatedCalls)} estimated`,
  };
}

/** Rounded down: one failure in ten thousand calls isn't "100 %". */
function percent(part: number, whole: number, digits: number): string {
  if (whole === 0) return UNKNOWN;
  const scale = 10 ** digits;
  return `${figure(Math.floor(share(part, whole) * 100 * scale) / scale, digits)} %`;
}

const tokensOf = (sums: UsageSums): number => sums.promptTokens + sums.completionTokens;
