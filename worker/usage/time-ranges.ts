// Divides time ranges into the hours, days and months that the ledger sums. Pure; times are milliseconds since 1970, a
// range ends before `to`.
import { DAY_MS, dayStart, HOUR_MS, hourStart, monthStart, nextMonthStart } from "../../shared/calendar.ts";
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../shared/usage-report.ts";

/** Hour, day or month. */
export type Granularity = "h" | "d" | "m";

export interface TimeRange {
  readonly granularity: Granularity;
  readonly from: number;
  readonly to: number;
}

/** The first hour and the first day that are still stored: whole days, so that no day is stored in part. */
export const oldestHour = (now: number): number => dayStart(now) - HOURS_KEPT_DAYS * DAY_MS;
export const oldestDay = (now: number): number => dayStart(now) - DAYS_KEPT_DAYS * DAY_MS;

/** Widens a range to whole hours, or to whole days if its hours are no longer stored. */
export function widened(
  from: number,
  to: number,
  now: number,
): { readonly from: number; readonly to: number } {
  const [low, high] = [hourStart(from), roundedUp(to, hourStart, HOUR_MS)];
  const oldest = oldestHour(now);
  return {
    from: low < oldest ? dayStart(low) : low,
    to: high < oldest ? roundedUp(high, dayStart, DAY_MS) : high,
  };
}

/**
 * The fewest parts that cover a range of whole hours: hours at its ends, then days, then months.
 * @param largest the largest granularity to use
 */
export function cover(from: number, to: number, largest: Granularity): TimeRange[] {
  if (largest === "h") return nonEmpty([{ granularity: "h", from, to }]);
  const [dayFrom, dayTo] = [roundedUp(from, dayStart, DAY_MS), dayStart(to)];
  if (dayFrom > dayTo) return nonEmpty([{ granularity: "h", from, to }]);
  const days =
    largest === "m"
      ? daysAndMonths(dayFrom, dayTo)
      : [{ granularity: "d" as const, from: dayFrom, to: dayTo }];
  return nonEmpty([{ granularity: "h", from, to: dayFrom }, ...days, { granularity: "h", from: dayTo, to }]);
}

function daysAndMonths(from: number, to: number): TimeRange[] {
  const first = monthStart(from) === from ? from : nextMonthStart(from);
  const last = monthStart(to);
  if (first > last) return [{ granularity: "d", from, to }];
  return [
    { granularity: "d", from, to: first },
    { granularity: "m", from: first, to: last },
    { granularity: "d", from: last, to },
  ];
}

const nonEmpty = (ranges: readonly TimeRange[]): TimeRange[] => ranges.filter(({ from, to }) => from < to);

function roundedUp(at: number, start: (at: number) => number, lengthMs: number): number {
  const down = start(at);
  return down === at ? at : down + lengthMs;
}
