// The time range that `isha usage` requests, in whole hours: the ledger's smallest unit. Pure.
const HOUR_MS = 3_600_000;

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
      ? { from: month, to: nextMonth(month) }
      : last !== undefined
        ? { from: now - last * 1000, to: now }
        : {
            from: options.from ?? firstOfMonth(options.to === undefined ? now : options.to - 1),
            to: options.to ?? now,
          };
  if (range.from >= range.to) return null;
  const from = Math.floor(range.from / HOUR_MS) * HOUR_MS;
  const to = Math.ceil(range.to / HOUR_MS) * HOUR_MS;
  return { from, to };
}

function firstOfMonth(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

function nextMonth(month: number): number {
  const date = new Date(month);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
