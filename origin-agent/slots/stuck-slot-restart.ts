// Whether a server is restarted because an abandoned call won't leave one of its slots: a pure decision from
// its slots and the restarts before. A restart cuts every answer on the server and takes 10 s of loading, so
// it comes late and seldom; until then the slot is reported and routed around.
import { STUCK_MS } from "./slot-set.ts";
import type { SlotCounts, StuckSlot } from "./lease.ts";

/** How long the calls on a server's other slots may go on after a slot was found stuck, milliseconds: most end by themselves. */
export const RESTART_GRACE_MS = 30_000;

/** Between two restarts of a server, milliseconds: long enough to see whether one has helped. */
export const RESTART_INTERVAL_MS = 600_000;

/** Restarts in an hour; a server that needs more has a fault that restarting doesn't mend. */
export const RESTARTS_PER_HOUR = 3;

const HOUR_MS = 3_600_000;

export type RestartVerdict =
  | { readonly kind: "restart"; readonly stuckForMs: number }
  /** Not yet: at the earliest in so long, or once the calls on the other slots have ended. */
  | { readonly kind: "wait"; readonly why: "others-busy" | "too-soon" | "too-many"; readonly ms: number }
  | { readonly kind: "nothing-stuck" };

/**
 * @param stuck as `ServerSlots.stuck` gives it.
 * @param counts of the same server. Abandoned calls aren't waited for: nobody reads their answers.
 * @param restarts when this server was restarted for this cause, in any order.
 */
export function restartVerdict(
  stuck: readonly StuckSlot[],
  counts: SlotCounts,
  restarts: readonly number[],
  now: number,
): RestartVerdict {
  if (stuck.length === 0) return { kind: "nothing-stuck" };
  const stuckForMs = stuck.reduce((most, { forMs }) => Math.max(most, forMs), 0);

  const latest = restarts.toSorted((one, other) => other - one);
  const untilSpaced = (latest[0] ?? -Infinity) + RESTART_INTERVAL_MS - now;
  const untilFewer = (latest[RESTARTS_PER_HOUR - 1] ?? -Infinity) + HOUR_MS - now;
  if (untilFewer > 0 && untilFewer >= untilSpaced) return { kind: "wait", why: "too-many", ms: untilFewer };
  if (untilSpaced > 0) return { kind: "wait", why: "too-soon", ms: untilSpaced };

  const untilGrace = STUCK_MS + RESTART_GRACE_MS - stuckForMs;
  if (counts.leased + counts.foreign > 0 && untilGrace > 0) {
    return { kind: "wait", why: "others-busy", ms: untilGrace };
  }
  return { kind: "restart", stuckForMs };
}

/** The restarts that still count; the rest of a history may be dropped. */
export function recentRestarts(restarts: readonly number[], now: number): number[] {
  return restarts.filter((at) => now - at < HOUR_MS);
}
