// How many requests a limit still allows: a pure core, its clock passed in. One window at a time, aligned to
// the clock; what a window grants is never more than its limit, whoever asks and however often.

export interface RateWindow {
  /** When the window began, milliseconds since 1970; a multiple of its length. */
  readonly startedAt: number;
  readonly granted: number;
}

export interface RateLimit {
  /** Requests in one window. */
  readonly quota: number;
  readonly windowMs: number;
}

export interface Grant {
  readonly granted: number;
  readonly remaining: number;
  readonly endsInMs: number;
}

export const NO_WINDOW: RateWindow = { startedAt: 0, granted: 0 };

/** Takes up to `want` out of the window `now` lies in. */
export function grant(
  window: RateWindow,
  limit: RateLimit,
  want: number,
  now: number,
): { readonly window: RateWindow; readonly grant: Grant } {
  const current = windowAt(window, limit, now);
  const granted = Math.max(0, Math.min(Math.floor(want), limit.quota - current.granted));
  const after = { startedAt: current.startedAt, granted: current.granted + granted };
  return {
    window: after,
    grant: {
      granted,
      remaining: Math.max(0, limit.quota - after.granted),
      endsInMs: current.startedAt + limit.windowMs - now,
    },
  };
}

/**
 * The window `now` lies in. A clock that steps back a little stays in the later window, which can only grant
 * less; one that steps back further starts anew, or a wrong clock set right would lock its clients out.
 */
function windowAt(window: RateWindow, limit: RateLimit, now: number): RateWindow {
  const startedAt = now - (now % limit.windowMs);
  const later = startedAt > window.startedAt;
  const farBack = startedAt < window.startedAt - limit.windowMs;
  return later || farBack ? { startedAt, granted: 0 } : window;
}
