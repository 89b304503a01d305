// Hours, days and months of UTC as the ledger adds them up, and how a stretch of time is covered by the fewest of
// them. Pure; all times are milliseconds since 1970, stretches end before `to`.
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../shared/usage-report.ts";

export const HOUR_MS = 60 * 60 * 1000;
export const DAY_MS = 24 * HOUR_MS;

/** An hour, a day, a month. */
export type Granularity = "h" | "d" | "m";

export interface TimeRange {
  readonly span: Granularity;
  readonly from: number;
  readonly to: number;
}

export const hourOf = (at: number): number => at - (at % HOUR_MS);
export const dayOf = (at: number): number => at - (at % DAY_MS);

export function monthOf(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** `2026-11`. */
export const monthName = (at: number): string => new Date(at).toISOString().slice(0, 7);

/** The first hour, and the first day, that are still kept: whole days, so that no day is kept in part. */
export const oldestHour = (now: number): number => dayOf(now) - HOURS_KEPT_DAYS * DAY_MS;
export const oldestDay = (now: number): number => dayOf(now) - DAYS_KEPT_DAYS * DAY_MS;

/** A stretch in whole hours; where hours aren't kept any more, in whole days. Never less than was asked for. */
export function widened(
  from: number,
  to: number,
  now: number,
): { readonly from: number; readonly to: number } {
  const [low, high] = [hourOf(from), up(to, hourOf, HOUR_MS)];
  const oldest = oldestHour(now);
  return { from: low < oldest ? dayOf(low) : low, to: high < oldest ? up(high, dayOf, DAY_MS) : high };
}

/** The fewest spans that make up a stretch of whole hours: hours at its edges, days, and months where they may serve. */
export function cover(from: number, to: number, largest: Granularity): TimeRange[] {
  if (largest === "h") return nonEmpty([{ span: "h", from, to }]);
  const [dayFrom, dayTo] = [up(from, dayOf, DAY_MS), dayOf(to)];
  if (dayFrom > dayTo) return nonEmpty([{ span: "h", from, to }]);
  const days =
    largest === "m" ? daysAndMonths(dayFrom, dayTo) : [{ span: "d" as const, from: dayFrom, to: dayTo }];
  return nonEmpty([{ span: "h", from, to: dayFrom }, ...days, { span: "h", from: dayTo, to }]);
}

function daysAndMonths(from: number, to: number): TimeRange[] {
  // Any day of the month after lies 31 days past a month's first.
  const first = monthOf(from) === from ? from : monthOf(monthOf(from) + 31 * DAY_MS);
  const last = monthOf(to);
  if (first > last) return [{ span: "d", from, to }];
  return [
    { span: "d", from, to: first },
    { span: "m", from: first, to: last },
    { span: "d", from: last, to },
  ];
}

const nonEmpty = (stretches: readonly TimeRange[]): TimeRange[] =>
  stretches.filter(({ from, to }) => from < to);

function up(at: number, downTo: (at: number) => number, step: number): number {
  const down = downTo(at);
  return down === at ? at : down + step;
}
