// Learns how long something takes from its last durations, and estimates the time left. Pure; milliseconds.
import { medianOf } from "./speed-baseline.ts";

/** Durations kept: enough for a median that one slow start doesn't move. */
const TIMES_KEPT = 8;

/** Estimated remaining time of something overdue, as a share of the elapsed time. */
const OVERDUE_SHARE = 1 / 4;

/** Least estimate. */
const MIN_MS = 100;

export type LearnedTimes = readonly number[];

export function noteTime(times: LearnedTimes, ms: number): LearnedTimes {
  return Number.isFinite(ms) && ms >= 0 ? [...times, ms].slice(-TIMES_KEPT) : times;
}

export const usualTime = (times: LearnedTimes): number | null => medianOf(times);

/** Estimates the time left after `elapsedMs`; null without a known duration. */
export function remainingTime(times: LearnedTimes, elapsedMs: number): number | null {
  const usual = usualTime(times);
  if (usual === null) return null;
  const left = usual - elapsedMs;
  return Math.max(MIN_MS, left > 0 ? left : elapsedMs * OVERDUE_SHARE);
}
