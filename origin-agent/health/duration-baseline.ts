// How long something took the last times, and how long it will still take. Milliseconds, pure.
import { medianOf } from "./speed-baseline.ts";

/** Times kept: enough for a median that one slow start doesn't move. */
const TIMES_KEPT = 8;

/** What is overdue is taken to last so much longer again, as a share of what it has taken. */
const OVERDUE_SHARE = 1 / 4;

/** No estimate is less: what is nearly over is over in the next look. */
const MIN_MS = 100;

export type LearnedTimes = readonly number[];

export function noteTime(times: LearnedTimes, ms: number): LearnedTimes {
  return Number.isFinite(ms) && ms >= 0 ? [...times, ms].slice(-TIMES_KEPT) : times;
}

export const usualTime = (times: LearnedTimes): number | null => medianOf(times);

/** What is left of it after `elapsedMs`; null where it was never seen to end. */
export function remainingTime(times: LearnedTimes, elapsedMs: number): number | null {
  const usual = usualTime(times);
  if (usual === null) return null;
  const left = usual - elapsedMs;
  return Math.max(MIN_MS, left > 0 ? left : elapsedMs * OVERDUE_SHARE);
}
