// How long to wait before dialling again. Pure: the randomness comes in.
import { LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS } from "../../shared/limits.ts";

/** A link that lived for so long was a good one: what broke it is new, and it is dialled again at once. */
export const LIVED_MS = 30_000;

/** An edge that refuses the link goes on refusing until somebody changes something; it is asked so often, milliseconds. */
export const REFUSED_RETRY_MS = 60_000;

/** Doublings after which the longest pause is reached, whatever the limits are. */
const MAX_DOUBLINGS = 16;

/**
 * The pause before the next try, milliseconds: doubled with each failure, and between half of that and all of it, so
 * that boxes which lost their edge together don't come back together.
 * @param failures in a row, this one included
 * @param random from 0 to below 1
 */
export function pauseAfter(failures: number, random: number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), MAX_DOUBLINGS);
  const whole = Math.min(LINK_RETRY_MIN_MS * 2 ** doublings, LINK_RETRY_MAX_MS);
  return whole * (0.5 + random / 2);
}

/** The same where the edge answered that it won't have this box. */
export const pauseAfterRefusal = (random: number): number => REFUSED_RETRY_MS * (0.5 + random / 2);
