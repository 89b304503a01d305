// How many requests a limit still allows: a pure core, its clock passed in. It counts the window that `now` lies
// in and the one after it, each for itself; neither ever grants more than its limit, whoever asks and however the
// clock walks.
import type { Lease, LeaseQuestion, NextLease } from "./lease-request.ts";

/** Times in here are the window's own: the clock's, but never going back. */
export interface RateWindow {
  /** When the window began; a multiple of its length, but for a clock that stepped back. */
  readonly startedAt: number;
  readonly granted: number;
  /** Granted ahead of the window after it: spent already when that one begins. */
  readonly grantedNext: number;
  /** When it was last asked. */
  readonly latest: number;
  /** What the clock has stepped back, all in all: added to it, so that no window comes twice. */
  readonly heldBackMs: number;
}

export interface RateLimit {
  /** Requests in one window. */
  readonly quota: number;
  readonly windowMs: number;
}

/** `passed`: what was let through unasked in this window; deducted first. */
export type WindowQuestion = LeaseQuestion & { readonly passed?: number };

export const NO_WINDOW: RateWindow = { startedAt: 0, granted: 0, grantedNext: 0, latest: 0, heldBackMs: 0 };

/** For calls that don't wait an isolate gets this share of what is left, so that there is some for the next to ask. */
const SHARE_AHEAD = 1 / 4;

/** Takes tokens out of the window `now` lies in, and where they are wanted out of the next one. */
export function grant(
  window: RateWindow,
  limit: RateLimit,
  question: WindowQuestion,
  now: number,
): { readonly window: RateWindow; readonly grant: Lease } {
  const current = windowAt(window, limit, now);
  const passed = Math.min(whole(question.passed ?? 0), leftOf(limit, current.granted));
  const left = leftOf(limit, current.granted + passed);
  const granted = part(left, whole(question.want), whole(question.waiting));
  const leftNext = leftOf(limit, current.grantedNext);
  const wantNext = whole(question.wantNext);
  const grantedNext = part(leftNext, wantNext, 0);
  const endsInMs = current.startedAt + limit.windowMs - current.latest;
  const next: NextLease | null =
    wantNext === 0
      ? null
      : {
          granted: grantedNext,
          remaining: leftNext - grantedNext,
          startsInMs: endsInMs,
          endsInMs: endsInMs + limit.windowMs,
        };
  return {
    window: {
      ...current,
      granted: current.granted + passed + granted,
      grantedNext: current.grantedNext + grantedNext,
    },
    grant: { granted, remaining: left - granted, endsInMs, next },
  };
}

function leftOf(limit: RateLimit, granted: number): number {
  return Math.max(0, limit.quota - granted);
}

/** Of `want`: all that calls wait for, as far as there is, and a share of the rest. */
function part(left: number, want: number, waiting: number): number {
  const due = Math.min(waiting, want, left);
  return Math.min(want, due + Math.ceil((left - due) * SHARE_AHEAD));
}

/** What was asked as a number of tokens: whole, and none where it is no number or less. */
function whole(value: number): number {
  return value > 0 ? Math.floor(value) : 0;
}

/**
 * The window `now` lies in. Where the clock steps back, the window's time goes on from where it was: no window is
 * granted twice, and nobody waits for a clock that was far ahead to come there again. The windows are off the
 * clock's seconds from then on, which nobody needs.
 */
function windowAt(window: RateWindow, limit: RateLimit, now: number): RateWindow {
  const time = Math.max(now + window.heldBackMs, window.latest);
  const clock = { latest: time, heldBackMs: time - now };
  const since = time - window.startedAt;
  if (since < limit.windowMs) return { ...window, ...clock };
  const follows = since < 2 * limit.windowMs;
  const startedAt = time - (time % limit.windowMs);
  return { ...clock, startedAt, granted: follows ? window.grantedNext : 0, grantedNext: 0 };
}
