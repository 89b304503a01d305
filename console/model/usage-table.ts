// The usage report as rows with bars, and the time ranges on offer.
import { DAY_MS, monthStart } from "../../shared/calendar.ts";
import type { UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { figure, share, tokens } from "./format.ts";

export const USAGE_BY = ["key", "model", "agent", "day"] as const;
export type UsageBy = (typeof USAGE_BY)[number];

export const RANGES = {
  today: "today",
  week: "the last 7 days",
  month: "this month",
  quarter: "the last 90 days",
} as const;
export type TimeRange = keyof typeof RANGES;

/** Path and query of `GET /admin/usage`; days are in UTC, as in the ledger. */
export function usagePath(by: UsageBy, range: TimeRange, now: number): string {
  const today = now - (now % DAY_MS);
  const from = {
    today: new Date(today).toISOString(),
    week: new Date(today - 6 * DAY_MS).toISOString(),
    month: new Date(monthStart(now)).toISOString(),
    quarter: new Date(today - 89 * DAY_MS).toISOString(),
  }[range];
  return `/admin/usage?${new URLSearchParams({ by, from, to: new Date(today + DAY_MS).toISOString() }).toString()}`;
}

export interface UsageRow {
  readonly group: string;
  readonly name: string;
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
  return report.rows.map(({ group, ...sums }) => usageRow(group, names.get(group) ?? group, sums, max));
}

export function totalRow(report: UsageReport): UsageRow {
  return usageRow("total", "Total", report.total, 0);
}

function usageRow(group: string, name: string, sums: UsageSums, max: number): UsageRow {
  return {
    group,
    name,
    calls: figure(sums.calls),
    complete: sums.calls === 0 ? figure(null) : `${figure((100 * sums.complete) / sums.calls, 1)} %`,
    prompt: tokens(sums.promptTokens),
    cached:
      sums.promptTokens === 0 ? figure(null) : `${figure((100 * sums.cachedTokens) / sums.promptTokens)} %`,
    completion: tokens(sums.completionTokens),
    share: share(tokensOf(sums), max),
    estimated: sums.estimatedCalls === 0 ? "" : `${figure(sums.estimatedCalls)} of the calls are estimated`,
  };
}

const tokensOf = (sums: UsageSums): number => sums.promptTokens + sums.completionTokens;
