// Decides whether a server is restarted because an abandoned call doesn't leave one of its slots. Pure: the slots and the
// earlier restarts go in. A restart cuts every answer on the server and takes 10 s of loading, so it comes late and
// rarely; until then the slot is reported and avoided.
import { HOUR_MS } from "../../shared/calendar.ts";
import { STUCK_MS } from "./slot-set.ts";
import type { SlotCounts, StuckSlot } from "./slot-lease.ts";

/** How long calls on the other slots may continue after a slot was found stuck: most end by themselves. */
const RESTART_GRACE_MS = 30_000;

/** Least time between two restarts of a server: long enough to see whether one has helped. */
const RESTART_INTERVAL_MS = 600_000;

/** Restarts per hour; a server that needs more has a fault that restarts don't fix. */
const RESTARTS_PER_HOUR = 3;

/**
 * @param stuck the result of `ServerSlots.stuck`.
 * @param counts of the same server. Abandoned calls don't delay a restart: no client reads their answers.
 * @param restarts when this server was restarted for this cause, in any order.
 * @returns how long the slot has been stuck for which to restart the server now, in milliseconds; null for no restart.
 */
export function restartDue(
  stuck: readonly StuckSlot[],
  counts: SlotCounts,
  restarts: readonly number[],
  now: number,
): number | null {
  if (stuck.length === 0) return null;
  const within = (ms: number): number => restarts.filter((at) => now - at < ms).length;
  if (within(RESTART_INTERVAL_MS) > 0 || within(HOUR_MS) >= RESTARTS_PER_HOUR) return null;
  const stuckForMs = Math.max(...stuck.map(({ forMs }) => forMs));
  const othersRun = counts.leased + counts.foreign > 0;
  return othersRun && stuckForMs < STUCK_MS + RESTART_GRACE_MS ? null : stuckForMs;
}

/** The restarts that still count; older ones may be dropped. */
export function recentRestarts(restarts: readonly number[], now: number): number[] {
  return restarts.filter((at) => now - at < HOUR_MS);
}
