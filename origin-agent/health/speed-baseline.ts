// Compares a server's recent decode speed with its own history. Pure; a few numbers. Slow samples never become part of
// the history.

/** Samples in the history: the last minute of a busy server, the last day of a quiet one. */
const PAST_SAMPLES = 64;

/** Least time between two samples of the history, so that 50 calls/s don't fill it within seconds. */
const LEARN_EVERY_MS = 1_000;

/** Least samples for a usual speed. */
const SAMPLES_TO_JUDGE = 8;

/** Weight of the newest sample in `recent`: three samples show the current speed. */
const NEWEST_WEIGHT = 0.5;

/**
 * A `recent` speed below this share of the usual one is slow (design 5). Five servers that share one card may each fall to a fifth of
 * their speed alone, which is no fault; a server on the CPU reaches a tenth to a hundredth.
 */
const SLOW_SHARE = 1 / 6;

/** Above this share the speed is normal again; the gap prevents oscillation. */
const RIGHT_SHARE = 1 / 4;

/** Consecutive slow (or normal) samples needed; a single odd call proves nothing. */
const SAMPLES_IN_A_ROW = 3;

export interface LearnedSpeed {
  readonly past: readonly number[];
  /** When the last sample was added; monotonic milliseconds. */
  readonly learnedAt: number;
  /** Median of the history in tokens per second; null until there are enough samples. */
  readonly usual: number | null;
  /** Moving average in tokens per second; null before the first sample. */
  readonly recent: number | null;
  readonly slowInARow: number;
  readonly rightInARow: number;
  readonly slow: boolean;
}

export const NO_SPEED: LearnedSpeed = {
  past: [],
  learnedAt: -Infinity,
  usual: null,
  recent: null,
  slowInARow: 0,
  rightInARow: 0,
  slow: false,
};

/**
 * Adds a sample in tokens per second.
 * @param learn false if other evidence shows that the server isn't healthy.
 * @param now monotonic milliseconds.
 */
export function noteSpeed(speed: LearnedSpeed, sample: number, learn: boolean, now: number): LearnedSpeed {
  if (!Number.isFinite(sample) || sample <= 0) return speed;
  const recent = speed.recent === null ? sample : speed.recent + NEWEST_WEIGHT * (sample - speed.recent);
  const { usual, past, learnedAt } = speed;
  const slowInARow = usual !== null && recent < usual * SLOW_SHARE ? speed.slowInARow + 1 : 0;
  const rightInARow = usual !== null && recent >= usual * RIGHT_SHARE ? speed.rightInARow + 1 : 0;
  const slow = speed.slow ? rightInARow < SAMPLES_IN_A_ROW : slowInARow >= SAMPLES_IN_A_ROW;
  const noted = { past, learnedAt, usual, recent, slowInARow, rightInARow, slow };
  if (!learn || slow || slowInARow > 0) return noted;
  if (past.length >= SAMPLES_TO_JUDGE && now - learnedAt < LEARN_EVERY_MS) return noted;
  const learned = [...past, sample].slice(-PAST_SAMPLES);
  const median = learned.length < SAMPLES_TO_JUDGE ? null : medianOf(learned);
  return { ...noted, past: learned, learnedAt: now, usual: median };
}

/** Forgets the recent speed, which doesn't apply to a new process; the history does. */
export const forgetRecent = (speed: LearnedSpeed): LearnedSpeed => ({
  ...NO_SPEED,
  past: speed.past,
  learnedAt: speed.learnedAt,
  usual: speed.usual,
});

/** Whether enough recent samples were normal. */
export const isRight = (speed: LearnedSpeed): boolean => speed.rightInARow >= SAMPLES_IN_A_ROW;

/** Resets the count of normal samples: those before a doubt don't refute it. */
export const doubtSpeed = (speed: LearnedSpeed): LearnedSpeed => ({ ...speed, rightInARow: 0 });

/** The middle value; for an even number of values, the lower of the two. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}
