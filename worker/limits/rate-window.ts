// Grants tokens of a limit's current window: the core of every limiter object. Pure, the clock is passed in. It never
// grants more than the limit in a window, whatever is requested and however the clock moves (design.md, 1).
import type { LeaseGrant, LeaseRequest } from "./lease-request.ts";

/** Times are the window's own: they follow the clock but never go back. */
export interface RateWindow {
  /** A multiple of the window's length, unless the clock has stepped back. */
  readonly startedAt: number;
  readonly granted: number;
  /** Time of the last request. */
  readonly latest: number;
  /** Sum of all steps back of the clock: added to it, so that no window comes twice. */
  readonly stepBackMs: number;
}

export interface RateLimit {
  /** Requests in one window. */
  readonly quota: number;
  readonly windowMs: number;
}

/** `passed`: requests of this window that were admitted without a token; deducted first. */
export type WindowRequest = LeaseRequest & { readonly passed?: number };

export const NO_WINDOW: RateWindow = { startedAt: 0, granted: 0, latest: 0, stepBackMs: 0 };

/** The largest share of the remaining tokens that one request gets: the next isolate finds some too (design.md, 4). */
export const MAX_SHARE = 1 / 4;

export function grant(
  window: RateWindow,
  limit: RateLimit,
  request: WindowRequest,
  now: number,
): { readonly window: RateWindow; readonly grant: LeaseGrant } {
  const current = windowAt(window, limit, now);
  const left = Math.max(0, limit.quota - current.granted);
  const passed = Math.min(tokens(request.passed ?? 0), left);
  const available = left - passed;
  const share = Math.max(Math.floor(available * MAX_SHARE), Math.min(tokens(request.waiting), available));
  const granted = Math.min(tokens(request.want), share);
  return {
    window: { ...current, granted: current.granted + passed + granted },
    grant: {
      granted,
      remaining: available - granted,
      endsInMs: current.startedAt + limit.windowMs - current.latest,
    },
  };
}

/** A number of tokens from an untrusted number: an integer, 0 if it is negative or NaN. */
function tokens(value: number): number {
  return value > 0 ? Math.floor(value) : 0;
}

/**
 * The window of this moment. If the clock steps back, the window's time continues from its latest moment: no window is
 * granted twice, and no caller waits until a clock that was far ahead gets there again. The windows are then no longer
 * aligned to the clock's seconds, which nothing depends on.
 */
function windowAt(window: RateWindow, limit: RateLimit, now: number): RateWindow {
  const time = Math.max(now + window.stepBackMs, window.latest);
  const clock = { latest: time, stepBackMs: time - now };
  if (time - window.startedAt < limit.windowMs) return { ...window, ...clock };
  return { ...clock, startedAt: time - (time % limit.windowMs), granted: 0 };
}
