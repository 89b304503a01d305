// Decides whether a server is restarted because an abandoned call doesn't leave one of its slots. Pure: the slots and the
// earlier restarts go in. A restart cuts every answer on the server and takes 10 s of loading, so it comes late and
// rarely; until then the slot is reported and avoided.
import { HOUR_MS } from "../../shared/calendar.ts";
import { STUCK_MS } from "./slot-set.ts";
import type { SlotCounts, StuckSlot } from "./slot-lease.ts";

/** How long calls on the other slots may continue after a slot was found stuck: most end by themselves. */
export const RESTART_GRACE_MS = 30_000;

/** Least time between two restarts of a server: long enough to see whether one has helped. */
export const RESTART_INTERVAL_MS = 600_000;

/** Restarts per hour; a server that needs more has a fault that restarts don't fix. */
export const RESTARTS_PER_HOUR = 3;

export type RestartVerdict =
  | { readonly kind: "restart"; readonly stuckForMs: number }
  /** Not yet: in `ms` at the earliest, or once the calls on the other slots have ended. */
  | { readonly kind: "wait"; readonly why: "others-busy" | "too-soon" | "too-many"; readonly ms: number }
  | { readonly kind: "nothing-stuck" };

/**
 * @param stuck the result of `ServerSlots.stuck`.
 * @param counts of the same server. Abandoned calls don't delay a restart: no client reads their answers.
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

/** The restarts that still count; older ones may be dropped. */
export function recentRestarts(restarts: readonly number[], now: number): number[] {
  return restarts.filter((at) => now - at < HOUR_MS);
}
