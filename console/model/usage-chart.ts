// Turns a split usage report into a stacked chart: one column for each hour or day, one series for each name.
import { DAY_MS, HOUR_MS } from "../../shared/calendar.ts";
import type { UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { figure, tokens } from "./format.ts";
import type { Measure } from "./usage-choice.ts";

export interface UsageSeries {
  /** A key's id, a model or an agent type; empty for all others together. */
  readonly id: string;
  readonly label: string;
  /** Index in the palette; null for the others. */
  readonly colour: number | null;
  /** One for each column. */
  readonly values: readonly number[];
  readonly sum: number;
}

export interface UsageChartModel {
  /** Start of each column, in milliseconds since 1970. */
  readonly at: readonly number[];
  readonly stepMs: number;
  /** Largest first, the others last. */
  readonly series: readonly UsageSeries[];
  readonly format: (value: number) => string;
  /** The chart in one sentence, for screen readers. */
  readonly text: string;
}

/** More columns than any choice needs: a report of a wrong range must not stop the page. */
const MAX_COLUMNS = 1_000;

/**
 * @param names the keys' names by id
 * @param now by the edge's clock: columns that haven't begun are left out
 */
export function usageChart(
  report: UsageReport,
  measure: Measure,
  names: ReadonlyMap<string, string>,
  now: number,
): UsageChartModel {
  const stepMs = report.by === "hour" ? HOUR_MS : DAY_MS;
  const first = Date.parse(report.from);
  const at: number[] = [];
  // A report lists every call's column; without a row, none was counted there.
  for (let start = first; start < Math.min(Date.parse(report.to), now); start += stepMs) {
    if (at.length === MAX_COLUMNS) break;
    at.push(start);
  }
  const columns = new Map<string, number[]>();
  for (const row of report.rows) {
    const id = row.split ?? "";
    const index = (Date.parse(row.group) - first) / stepMs;
    const values = columns.get(id) ?? at.map(() => 0);
    if (values[index] !== undefined) values[index] += measured(row, measure);
    columns.set(id, values);
  }
  const format = measure === "tokens" ? tokens : (value: number) => figure(value);
  const series = [...columns]
    .map(([id, values]) => ({ id, values, sum: values.reduce((sum, value) => sum + value, 0) }))
    .toSorted((a, b) => Number(a.id === "") - Number(b.id === "") || b.sum - a.sum)
    .map(({ id, values, sum }, index) => ({
      id,
      label: id === "" ? "all others" : ((report.split === "key" ? names.get(id) : undefined) ?? id),
      colour: id === "" ? null : index,
      values,
      sum,
    }));
  return { at, stepMs, series, format, text: chartText(series, report, measure, format) };
}

function measured({ calls, promptTokens, completionTokens }: UsageSums, measure: Measure): number {
  return measure === "calls" ? calls : promptTokens + completionTokens;
}

function chartText(
  series: readonly UsageSeries[],
  { by }: UsageReport,
  measure: Measure,
  format: (value: number) => string,
): string {
  const total = format(series.reduce((sum, each) => sum + each.sum, 0));
  const parts = series.map(({ label, sum }) => `${label} ${format(sum)}`);
  const what = measure === "tokens" ? "Tokens" : "Calls";
  return `${what} by ${by}: ${total} in total${parts.length === 0 ? "" : `; ${parts.join(", ")}`}`;
}

/** The sums of the series from the bottom to each one, the highest first: each lower one is drawn over the higher ones. */
export function stacked(
  series: readonly UsageSeries[],
): { readonly values: number[]; readonly colour: number | null }[] {
  const sums: number[] = (series[0]?.values ?? []).map(() => 0);
  return series
    .map(({ values, colour }) => {
      for (const [index, value] of values.entries()) sums[index] = (sums[index] ?? 0) + value;
      return { values: [...sums], colour };
    })
    .toReversed();
}

const DAY = { day: "numeric", month: "short", timeZone: "UTC" } as const;
const TIME = { hour: "2-digit", minute: "2-digit", timeZone: "UTC" } as const;

/** A column's name in UTC: "23 Nov", "23 Nov, 14:00 UTC". */
export function columnText(at: number, stepMs: number): string {
  const day = new Date(at).toLocaleDateString("en-GB", DAY);
  return stepMs < DAY_MS ? `${day}, ${new Date(at).toLocaleTimeString("en-GB", TIME)} UTC` : day;
}

/** Marks on the time axis; at midnight a mark of hours shows the day. */
export function markText(at: number): string {
  return at % DAY_MS === 0
    ? new Date(at).toLocaleDateString("en-GB", DAY)
    : new Date(at).toLocaleTimeString("en-GB", TIME);
}

const MARK_STEPS_MS = [1, 3, 6, 12, 24, 48, 96, 168, 336, 672].map((hours) => hours * HOUR_MS);

/** The marks of a time axis, at most this many; each is the start of a column. */
export function marks(from: number, to: number, stepMs: number, most: number): number[] {
  const step = MARK_STEPS_MS.find((ms) => ms >= stepMs && (to - from) / ms <= most) ?? (to - from) / 2;
  const first = step < DAY_MS ? from - (from % step) : from;
  const found: number[] = [];
  for (let at = first; at < to; at += step) if (at >= from) found.push(at);
  return found;
}
