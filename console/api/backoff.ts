// How long to wait before the stream is asked for again.

/** The first pause, and the longest, milliseconds: at once for a blip, never a hammer on an edge that is down. */
const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * Doubled with each failure, and jittered, so that ten open consoles don't come back in step.
 * @param failures in a row, 1 for the first.
 * @param random between 0 and 1.
 */
export function pauseMs(failures: number, random: number): number {
  const full = Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS);
  return Math.round(full * (0.5 + random / 2));
}
