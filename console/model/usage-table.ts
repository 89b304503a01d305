// The usage report as rows with bars, and the stretches of time it can be asked for.
import type { UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { figure, share, tokens } from "./figure.ts";
import { monthStart } from "./key-row.ts";

export const USAGE_BY = ["key", "model", "agent", "day"] as const;
export type UsageBy = (typeof USAGE_BY)[number];

export const STRETCHES = {
  today: "today",
  week: "the last 7 days",
  month: "this month",
  quarter: "the last 90 days",
} as const;
export type TimeRange = keyof typeof STRETCHES;

const DAY_MS = 24 * 60 * 60 * 1000;

/** Path and query of `GET /admin/usage`; days are UTC's, as the ledger has them. */
export function usagePath(by: UsageBy, stretch: TimeRange, now: number): string {
  const today = now - (now % DAY_MS);
  const from = {
    today: new Date(today).toISOString(),
    week: new Date(today - 6 * DAY_MS).toISOString(),
    month: monthStart(now),
    quarter: new Date(today - 89 * DAY_MS).toISOString(),
  }[stretch];
  return `/admin/usage?${new URLSearchParams({ by, from, to: new Date(today + DAY_MS).toISOString() }).toString()}`;
}

export interface UsageRow {
  readonly group: string;
  readonly name: string;
  readonly calls: string;
  /** Of all that were begun, how many ended whole. */
  readonly whole: string;
  readonly prompt: string;
  readonly cached: string;
  readonly completion: string;
  readonly share: number;
  readonly estimated: string;
}

/** @param names of keys, by id. */
export function usageRows(report: UsageReport, names: ReadonlyMap<string, string>): UsageRow[] {
  const most = Math.max(0, ...report.rows.map(tokensOf));
  return report.rows.map(({ group, ...sums }) => usageRow(group, names.get(group) ?? group, sums, most));
}

export function totalRow(report: UsageReport): UsageRow {
  return usageRow("total", "All together", report.total, 0);
}

function usageRow(group: string, name: string, sums: UsageSums, most: number): UsageRow {
  return {
    group,
    name,
    calls: figure(sums.calls),
    whole: sums.calls === 0 ? figure(null) : `${figure((100 * sums.complete) / sums.calls, 1)} %`,
    prompt: tokens(sums.promptTokens),
    cached:
      sums.promptTokens === 0 ? figure(null) : `${figure((100 * sums.cachedTokens) / sums.promptTokens)} %`,
    completion: tokens(sums.completionTokens),
    share: share(tokensOf(sums), most),
    estimated: sums.estimatedCalls === 0 ? "" : `${figure(sums.estimatedCalls)} of the calls are estimated`,
  };
}

const tokensOf = (sums: UsageSums): number => sums.promptTokens + sums.completionTokens;
