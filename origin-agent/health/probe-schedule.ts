// When a server should be looked at next: fast while something changes, once a second while nothing does.
// Pure; one caller holds the timers and asks again after each answer.
import type { HealthRecord } from "./record.ts";
import { saysOk } from "./state-machine.ts";

/** Pace of `/health`, milliseconds, while all is well. */
const STEADY_MS = 1_000;

/** And while something changes: a port that recovers must be in use within a second. */
const FAST_MS = 100;

/** A server that has been down for this long is asked at a slower pace, milliseconds, still within that second. */
const LONG_DOWN_MS = 60_000;
const LONG_DOWN_PACE_MS = 500;

/** Pace of `/slots`, milliseconds: a stall is told to the second, at the price of a small answer. */
const SLOTS_MS = 1_000;

/** Pace of PM2's listing, milliseconds: steady, and while something changes. */
const PM2_STEADY_MS = 5_000;
const PM2_FAST_MS = 500;

/** An idle server nobody has heard a token from for so long is asked for one, milliseconds. */
const SILENCE_MS = 60_000;

/** A slow one sooner, so as to notice that it is right again, milliseconds. */
const SLOW_RETRY_MS = 10_000;

/** A doubted one at once, and again after this, milliseconds. */
const DOUBT_RETRY_MS = 1_000;
const PROVING_RETRY_MS = 250;

/** A one-token call whose end was never told is taken to be lost after this, milliseconds. */
const LOST_MS = 30_000;

/** How long a one-token call may take, milliseconds: on a card it takes 50, on a CPU a second. */
export const ONE_TOKEN_TIMEOUT_MS = 5_000;

/** When each look is due, monotonic milliseconds; null: not while things are as they are. */
export interface ProbesDue {
  readonly health: number;
  readonly slots: number | null;
  readonly pm2: number;
  readonly oneToken: number | null;
}

export function nextProbeAt(record: HealthRecord, now: number): ProbesDue {
  const { probed } = record;
  const changing = isChanging(record, now);
  const longDown = record.state === "down" && record.coming === null && now - record.since >= LONG_DOWN_MS;
  const healthPace = changing ? (longDown ? LONG_DOWN_PACE_MS : FAST_MS) : STEADY_MS;
  const pm2Pace = changing && !longDown ? PM2_FAST_MS : PM2_STEADY_MS;
  return {
    health: after(probed.health, healthPace, now),
    slots: record.sign === "ok" ? after(probed.slots, SLOTS_MS, now) : null,
    pm2: after(probed.pm2, pm2Pace, now),
    oneToken: oneTokenDueAt(record, now),
  };
}

const after = (last: number | null, paceMs: number, now: number): number =>
  last === null ? now : last + paceMs;

const isChanging = (record: HealthRecord, now: number): boolean =>
  record.state === "down" ||
  record.state === "loading" ||
  record.state === "stalled" ||
  record.failures > 0 ||
  now < record.hurryUntil;

function oneTokenDueAt(record: HealthRecord, now: number): number | null {
  const { oneToken, progress, state, cause } = record;
  const inFlight = oneToken.sentAt !== null && now - oneToken.sentAt < LOST_MS;
  if (!saysOk(record) || inFlight || cause.tag === "stopping") return null;
  const endedAt = oneToken.endedAt ?? -Infinity;
  switch (state) {
    case "stalled":
    case "down":
      return endedAt + DOUBT_RETRY_MS;
    case "loading":
      return endedAt + PROVING_RETRY_MS;
    case "draining":
      return null;
    case "ready":
    case "slow": {
      if (oneToken.failures > 0) return endedAt + DOUBT_RETRY_MS;
      // What runs is watched by its progress.
      if (progress.busy.length > 0) return null;
      const lastSeenAt = Math.max(progress.aliveAt ?? -Infinity, endedAt);
      // A process that never decoded anything yet is asked as soon as it is up.
      if (progress.aliveAt === null && endedAt < record.okSince) return record.okSince;
      return lastSeenAt + (state === "slow" ? SLOW_RETRY_MS : SILENCE_MS);
    }
  }
}
