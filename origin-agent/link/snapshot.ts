// What the box tells the edge of itself: its servers, its cards, its journal, as one small frame. Pure: it is given
// what the parts know and puts it in the wire's words; a figure nobody could tell is null, never 0.
import type { LinkState, Snapshot } from "../../shared/wire.ts";
import type { FirstTokenTimes } from "../telemetry/traffic.ts";
import type { HealthView } from "../health/state-machine.ts";
import type { Gpu } from "../probes/gpu-csv.ts";
import type { SlotCounts } from "../slots/lease.ts";
import type { JournalState } from "../usage/journal.ts";

/** All of a snapshot but how it is framed. */
export type BoxSnapshot = Readonly<Omit<Snapshot, "t" | "seq">>;

type LinkServer = BoxSnapshot["servers"][number];

/** What is known of one server. */
export interface ServerNow {
  readonly port: number;
  /** Slots that the fleet file gives it: what it says itself goes before. */
  readonly plannedSlots: number;
  readonly slots: Pick<SlotCounts, "total" | "leased" | "awaiting" | "foreign">;
  readonly health: Pick<HealthView, "state" | "cause" | "text" | "usable" | "gpuGib" | "restarts">;
  readonly queue: { readonly waiting: number; readonly places: number; readonly newcomerMs: number };
  readonly tokensPerSecond: number | null;
  readonly firstToken: FirstTokenTimes;
  readonly continued: number;
}

export interface BoxNow {
  readonly draining: boolean;
  readonly servers: readonly ServerNow[];
  /** By the driver; null where nothing answers for cards here. */
  readonly gpus: readonly Gpu[] | null;
  readonly traffic: Snapshot["traffic"];
  readonly journal: Pick<JournalState, "state" | "reason">;
  readonly usageBehindMs: number | null;
}

/** Longest sentence the wire takes, characters. */
const MAX_WHY = 200;

/** What the system says where a disk, or our own bound on the folder, has no room left. */
const NO_ROOM: ReadonlySet<string | null> = new Set(["ENOSPC", "EDQUOT", "BOUND"]);

export function boxSnapshot(now: BoxNow): BoxSnapshot {
  const { draining, servers, gpus, traffic, journal, usageBehindMs } = now;
  return {
    draining,
    servers: servers.map(linkServer),
    gpus:
      gpus?.map((gpu) => ({
        name: gpu.name,
        memoryUsedGib: rounded(gpu.memoryUsedGib, 2),
        memoryTotalGib: rounded(gpu.memoryTotalGib, 2),
        utilizationPercent: gpu.utilizationPercent,
        temperatureC: gpu.temperatureC,
        powerWatts: rounded(gpu.powerWatts, 1),
      })) ?? null,
    traffic,
    journal: {
      state: journal.state === "ok" ? "ok" : NO_ROOM.has(journal.reason) ? "full" : "failing",
      behindMs: rounded(usageBehindMs, 0),
    },
  };
}

function linkServer(server: ServerNow): LinkServer {
  const { port, plannedSlots, slots, health, queue, tokensPerSecond, firstToken, continued } = server;
  return {
    port,
    state: health.state satisfies LinkState,
    // A ready server needs no reason.
    why: health.cause.tag === "well" ? "" : health.text.slice(0, MAX_WHY),
    slots: slots.total > 0 ? slots.total : plannedSlots,
    busy: slots.leased + slots.awaiting + slots.foreign,
    waiting: queue.waiting,
    places: queue.places,
    // Nobody can say when a server that is down takes its next call.
    waitMs: health.usable ? rounded(queue.newcomerMs, 0) : null,
    tokensPerSecond: rounded(tokensPerSecond, 1),
    firstTokenP50Ms: firstToken.p50Ms,
    firstTokenP95Ms: firstToken.p95Ms,
    continued,
    gpuGib: rounded(health.gpuGib, 2),
    restarts: health.restarts,
  };
}

/** By how much a figure that never stands still must have moved before it is news. */
const NEWS = {
  /** A model is loaded or let go; the cache of one call is far less. */
  gib: 0.25,
  percent: 10,
  celsius: 3,
  watts: 25,
  /** As a share of the greater one. */
  tokenShare: 0.1,
  waitShare: 0.2,
  behindMs: 5_000,
} as const;

/** Whether the edge should hear of it now rather than when a snapshot is due anyway. */
export function changedSince(told: BoxSnapshot, now: BoxSnapshot): boolean {
  if (told.draining !== now.draining || told.journal.state !== now.journal.state) return true;
  if (movedBy(told.journal.behindMs, now.journal.behindMs, NEWS.behindMs)) return true;
  // Calls that come and go change slots and queues too; one that failed at once changes nothing else.
  if (told.traffic.failed !== now.traffic.failed) return true;
  if (told.servers.length !== now.servers.length || told.gpus?.length !== now.gpus?.length) return true;
  return (
    now.servers.some((server, at) => serverChanged(told.servers[at], server)) ||
    (now.gpus ?? []).some((gpu, at) => {
      const before = told.gpus?.[at];
      return (
        before === undefined ||
        movedBy(before.memoryUsedGib, gpu.memoryUsedGib, NEWS.gib) ||
        movedBy(before.utilizationPercent, gpu.utilizationPercent, NEWS.percent) ||
        movedBy(before.temperatureC, gpu.temperatureC, NEWS.celsius) ||
        movedBy(before.powerWatts, gpu.powerWatts, NEWS.watts)
      );
    })
  );
}

function serverChanged(before: LinkServer | undefined, now: LinkServer): boolean {
  if (before === undefined) return true;
  const same = (
    ["port", "state", "slots", "busy", "waiting", "places", "restarts", "continued"] as const
  ).every((name) => before[name] === now[name]);
  return (
    !same ||
    movedBy(before.gpuGib, now.gpuGib, NEWS.gib) ||
    movedByShare(before.tokensPerSecond, now.tokensPerSecond, NEWS.tokenShare) ||
    movedByShare(before.waitMs, now.waitMs, NEWS.waitShare)
  );
}

function movedBy(before: number | null, now: number | null, by: number): boolean {
  return before === null || now === null ? before !== now : Math.abs(before - now) >= by;
}

function movedByShare(before: number | null, now: number | null, share: number): boolean {
  if (before === null || now === null) return before !== now;
  return Math.abs(before - now) > share * Math.max(before, now);
}

/** Digits nobody reads would be half of the frame. */
function rounded(value: number | null, digits: number): number | null {
  return value === null ? null : Number(value.toFixed(digits));
}
