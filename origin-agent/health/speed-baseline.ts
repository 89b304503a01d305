// How fast a server decodes, lately and usually. A pure core of a few numbers: what was slow is noticed
// against the server's own past, and never learned as if it were usual.

/** Speeds kept to learn from: the last minute of a busy server, the last day of a quiet one. */
const PAST_SAMPLES = 64;

/** One is learned from so often at most, milliseconds: a server that answers fifty calls a second has no other past. */
const LEARN_EVERY_MS = 1_000;

/** Below so many nothing is said to be usual. */
const SAMPLES_TO_JUDGE = 8;

/** Weight of the newest speed in `lately`: three samples in, it says what is so now. */
const NEWEST_WEIGHT = 0.5;

/**
 * `lately` under this share of the usual is slow. Five servers that share one card may each fall to a fifth
 * of what they do alone, and that is no fault; a server on the CPU does a tenth to a hundredth.
 */
const SLOW_SHARE = 1 / 6;

/** And above this share it is right again; the gap keeps it from swinging. */
const RIGHT_SHARE = 1 / 4;

/** So many slow (or right) samples in a row before it is believed; one odd call proves nothing. */
const SAMPLES_IN_A_ROW = 3;

export interface LearnedSpeed {
  readonly past: readonly number[];
  /** When the last of them was taken in; monotonic milliseconds. */
  readonly learnedAt: number;
  /** Median of the past, tokens per second; null until enough is known. */
  readonly usual: number | null;
  /** Moving average, tokens per second; null before the first. */
  readonly lately: number | null;
  readonly slowInARow: number;
  readonly rightInARow: number;
  readonly slow: boolean;
}

export const NO_SPEED: LearnedSpeed = {
  past: [],
  learnedAt: -Infinity,
  usual: null,
  lately: null,
  slowInARow: 0,
  rightInARow: 0,
  slow: false,
};

/**
 * Takes in one speed, tokens per second.
 * @param learn false where other evidence says that the server isn't as it should be.
 * @param now monotonic milliseconds.
 */
export function noteSpeed(speed: LearnedSpeed, sample: number, learn: boolean, now: number): LearnedSpeed {
  if (!Number.isFinite(sample) || sample <= 0) return speed;
  const lately = speed.lately === null ? sample : speed.lately + NEWEST_WEIGHT * (sample - speed.lately);
  const { usual, past, learnedAt } = speed;
  const slowInARow = usual !== null && lately < usual * SLOW_SHARE ? speed.slowInARow + 1 : 0;
  const rightInARow = usual !== null && lately >= usual * RIGHT_SHARE ? speed.rightInARow + 1 : 0;
  const slow = speed.slow ? rightInARow < SAMPLES_IN_A_ROW : slowInARow >= SAMPLES_IN_A_ROW;
  const noted = { past, learnedAt, usual, lately, slowInARow, rightInARow, slow };
  if (!learn || slow || slowInARow > 0) return noted;
  if (past.length >= SAMPLES_TO_JUDGE && now - learnedAt < LEARN_EVERY_MS) return noted;
  const learned = [...past, sample].slice(-PAST_SAMPLES);
  const median = learned.length < SAMPLES_TO_JUDGE ? null : medianOf(learned);
  return { ...noted, past: learned, learnedAt: now, usual: median };
}

/** A new process: what was lately says nothing of it, what is usual does. */
export const forgetLately = (speed: LearnedSpeed): LearnedSpeed => ({
  ...NO_SPEED,
  past: speed.past,
  learnedAt: speed.learnedAt,
  usual: speed.usual,
});

/** Whether enough recent samples were as they should be. */
export const isRight = (speed: LearnedSpeed): boolean => speed.rightInARow >= SAMPLES_IN_A_ROW;

/** Starts the count of right samples anew: those before a doubt don't dispel it. */
export const doubtSpeed = (speed: LearnedSpeed): LearnedSpeed => ({ ...speed, rightInARow: 0 });

/** The middle value; of an even number the lower of the two. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}
