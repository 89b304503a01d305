// Counts the invalid keys of one address within a minute and decides when they are more than typing errors. Pure, the
// clock is passed in. An isolate counts its own; an address's object counts those of all isolates.
import { FAILED_KEYS_A_MINUTE } from "../../shared/limits.ts";

const MINUTE_MS = 60_000;

/** A minute starts with the first invalid key in it, so one count and one time are enough. */
export interface FailedKeys {
  readonly startedAt: number;
  readonly count: number;
}

export const NO_FAILED_KEYS: FailedKeys = { startedAt: 0, count: 0 };

export function noteFailedKeys(known: FailedKeys, failed: number, now: number): FailedKeys {
  // A negative count or NaN was not sent by an isolate of ours.
  if (!(failed > 0)) return known;
  return isCurrent(known, now)
    ? { startedAt: known.startedAt, count: known.count + failed }
    : { startedAt: now, count: failed };
}

/** How long keys that aren't known to be good are refused; 0 if they are accepted. */
export function keysRefusedForMs(known: FailedKeys, now: number): number {
  const isRefused = known.count >= FAILED_KEYS_A_MINUTE && isCurrent(known, now);
  return isRefused ? known.startedAt + MINUTE_MS - now : 0;
}

/** If the clock steps back before the start, a new minute begins: no key is refused for longer than one. */
function isCurrent({ startedAt }: FailedKeys, now: number): boolean {
  return now >= startedAt && now < startedAt + MINUTE_MS;
}
