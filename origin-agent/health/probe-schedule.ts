// Schedules the probes of a server: fast while its state changes, once a second otherwise. Pure; the caller has the
// timers and asks again after each answer.
import type { HealthRecord } from "./record.ts";
import { reportsOk } from "./state-machine.ts";

/** Interval of `/health` in a steady state. */
const STEADY_MS = 1_000;

/** Interval while the state changes (design 7): a port that recovers must be in use within a second. */
const FAST_MS = 100;

/** A server that has been down for this long is probed more slowly, still within that second. */
const LONG_DOWN_MS = 60_000;
const LONG_DOWN_PACE_MS = 500;

/** Interval of `/slots`: a stall is detected to the second at the cost of a small answer. */
const SLOTS_MS = 1_000;

/** An idle server without a token for this long gets a one-token call (design 11). */
const SILENCE_MS = 60_000;

/** The same for a slow server, so that its recovery is noticed sooner. */
const SLOW_RETRY_MS = 10_000;

/** A doubted server gets one immediately, and again after this time. */
const DOUBT_RETRY_MS = 1_000;
const PROVING_RETRY_MS = 250;

/** A one-token call whose end was never reported counts as lost after this time. */
const LOST_MS = 30_000;

/** Time limit of a one-token call: it takes 50 ms on a card, a second on a CPU. */
export const ONE_TOKEN_TIMEOUT_MS = 5_000;

/** When each probe is due, in monotonic milliseconds; null: not in the current state. */
export interface ProbesDue {
  readonly health: number;
  readonly slots: number | null;
  readonly oneToken: number | null;
}

export function nextProbeAt(record: HealthRecord, now: number): ProbesDue {
  const { probed } = record;
  const changing = isChanging(record, now);
  const longDown = record.state === "down" && record.coming === null && now - record.since >= LONG_DOWN_MS;
  const healthPace = changing ? (longDown ? LONG_DOWN_PACE_MS : FAST_MS) : STEADY_MS;
  return {
    health: after(probed.health, healthPace, now),
    slots: record.sign === "ok" ? after(probed.slots, SLOTS_MS, now) : null,
    oneToken: oneTokenDueAt(record, now),
  };
}

const after = (last: number | null, paceMs: number, now: number): number =>
  last === null ? now : last + paceMs;

/** A server that refuses our key stays as it is until an operator changes that, and logs every probe. */
const isChanging = (record: HealthRecord, now: number): boolean =>
  (record.state === "down" && record.cause.tag !== "wrong-key") ||
  record.state === "loading" ||
  record.state === "stalled" ||
  record.failures > 0 ||
  now < record.hurryUntil;

function oneTokenDueAt(record: HealthRecord, now: number): number | null {
  const { oneToken, progress, state, cause } = record;
  const inFlight = oneToken.sentAt !== null && now - oneToken.sentAt < LOST_MS;
  if (!reportsOk(record) || inFlight || cause.tag === "stopping" || cause.tag === "wrong-key") return null;
  const endedAt = oneToken.endedAt ?? -Infinity;
  switch (state) {
    case "stalled":
    case "down":
      return endedAt + DOUBT_RETRY_MS;
    case "loading":
      return endedAt + PROVING_RETRY_MS;
    case "ready":
    case "slow": {
      if (oneToken.failures > 0) return endedAt + DOUBT_RETRY_MS;
      // Running calls are watched by their progress.
      if (progress.busy.length > 0) return null;
      const lastSeenAt = Math.max(progress.aliveAt ?? -Infinity, endedAt);
      // A process that has not decoded anything yet gets a one-token call as soon as it is up.
      if (progress.aliveAt === null && endedAt < record.okSince) return record.okSince;
      return lastSeenAt + (state === "slow" ? SLOW_RETRY_MS : SILENCE_MS);
    }
  }
}
