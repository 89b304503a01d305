// Keys from one address that turned out bad: how many of late, and whether that is more than slips of a hand. Pure,
// its clock passed in; an isolate counts its own, an address's object those of all isolates.
import { FAILED_KEYS_A_MINUTE } from "../../shared/limits.ts";

const MINUTE_MS = 60_000;

/** A minute begins with the first bad key in it, so that one number and one time are all there is to keep. */
export interface FailedKeys {
  readonly since: number;
  readonly count: number;
}

export const NO_FAILED_KEYS: FailedKeys = { since: 0, count: 0 };

export function noteFailedKeys(known: FailedKeys, failed: number, now: number): FailedKeys {
  // What is no number of keys, or less than none, came from nobody of ours.
  if (!(failed > 0)) return known;
  return runs(known, now)
    ? { since: known.since, count: known.count + failed }
    : { since: now, count: failed };
}

/** For how long keys not known to be good are refused, milliseconds; 0 where they aren't. */
export function keysRefusedForMs(known: FailedKeys, now: number): number {
  return known.count >= FAILED_KEYS_A_MINUTE && runs(known, now) ? known.since + MINUTE_MS - now : 0;
}

/** Where the clock stepped back before the minute's beginning, a new one begins: nobody is refused for an hour. */
function runs({ since }: FailedKeys, now: number): boolean {
  return now >= since && now < since + MINUTE_MS;
}
