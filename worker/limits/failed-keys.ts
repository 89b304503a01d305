// Counts the invalid keys of one address within a minute, and lets the checks of a suspect address run one at a time. The
// clock is passed in. An isolate counts its own failed keys; an address's object counts those of all isolates.
import { FAILED_KEYS_A_MINUTE, KEY_CHECK_WAIT_MS, LIMITER_TIMEOUT_MS } from "../../shared/limits.ts";
import { withTimeout } from "../http/timeout.ts";

const MINUTE_MS = 60_000;

/** Checks of one address that wait in an isolate; one more is refused at once. */
const MAX_WAITING_CHECKS = 100;

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

/** How long the address stays suspect: its unknown keys are checked one at a time. 0 if it isn't. */
export function suspectForMs(known: FailedKeys, now: number): number {
  const isSuspect = known.count >= FAILED_KEYS_A_MINUTE && isCurrent(known, now);
  return isSuspect ? known.startedAt + MINUTE_MS - now : 0;
}

/** If the clock steps back before the start, a new minute begins: no address is suspect for longer than one. */
function isCurrent({ startedAt }: FailedKeys, now: number): boolean {
  return now >= startedAt && now < startedAt + MINUTE_MS;
}

/** Turns of one address: first come, first served, and each request waits for a limited time. */
export class CheckTurns {
  readonly #waiting = new Set<() => void>();
  readonly #clock: () => number;
  /** The platform may cancel a request before it ends its turn: the turn ends by itself when its check must have ended. */
  #takenUntil = -Infinity;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** @returns false if the turn did not come in time. After true, `end` must be called. */
  async begin(): Promise<boolean> {
    if (this.#waiting.size > 0 || this.#isTaken()) {
      if (this.#waiting.size >= MAX_WAITING_CHECKS) return false;
      let admit = (): void => undefined;
      const turn = new Promise<true>((resolve) => (admit = () => resolve(true)));
      this.#waiting.add(admit);
      const isTurn = await withTimeout(turn, KEY_CHECK_WAIT_MS);
      this.#waiting.delete(admit);
      if (isTurn === null && this.#isTaken()) return false;
    }
    this.#take();
    return true;
  }

  end(): void {
    this.#takenUntil = -Infinity;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#take();
    next();
  }

  #isTaken(): boolean {
    return this.#clock() < this.#takenUntil;
  }

  #take(): void {
    this.#takenUntil = this.#clock() + LIMITER_TIMEOUT_MS;
  }
}
