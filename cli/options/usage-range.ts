// The time range that `isha usage` requests, in whole hours: the ledger's smallest unit. Pure.
import { HOUR_MS, hourStart, monthStart, nextMonthStart } from "../../shared/calendar.ts";

interface RangeOptions {
  /** Milliseconds since 1970. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly month?: number | undefined;
  /** Seconds before now. */
  readonly last?: number | undefined;
}

interface UsageRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** The current month so far by default; null if the range is empty. */
export function usageRange(options: RangeOptions, now: number): UsageRange | null {
  const { month, last } = options;
  const range =
    month !== undefined
      ? { from: month, to: nextMonthStart(month) }
      : last !== undefined
        ? { from: now - last * 1000, to: now }
        : {
            from: options.from ?? monthStart(options.to === undefined ? now : options.to - 1),
            to: options.to ?? now,
          };
  if (range.from >= range.to) return null;
  return { from: hourStart(range.from), to: hourStart(range.to + HOUR_MS - 1) };
}
