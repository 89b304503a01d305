// Builds the snapshot frame from the state of the box's servers, cards and journal, and decides whether a change is
// large enough to send it now. Pure. Figures are rounded here and nowhere else; an unknown figure is null, never 0.
import type { LinkState, Snapshot } from "../../shared/wire.ts";
import type { FirstTokenTimes } from "../telemetry/traffic.ts";
import type { HealthView } from "../health/state-machine.ts";
import type { Gpu } from "../probes/gpu-csv.ts";
import type { SlotCounts } from "../slots/slot-lease.ts";
import type { JournalState } from "../usage/journal.ts";

/** A snapshot frame without its type and number. */
export type BoxSnapshot = Readonly<Omit<Snapshot, "t" | "seq">>;

type ServerSnapshot = BoxSnapshot["servers"][number];

export interface ServerInput {
  readonly port: number;
  /** Slots in the fleet file; used until the server has reported its own. */
  readonly plannedSlots: number;
  readonly slots: Pick<SlotCounts, "total" | "leased" | "awaiting" | "foreign">;
  readonly health: Pick<HealthView, "state" | "cause" | "text" | "usable" | "gpuGib" | "restarts">;
  readonly queue: { readonly waiting: number; readonly places: number; readonly newcomerMs: number };
  readonly tokensPerSecond: number | null;
  readonly firstToken: FirstTokenTimes;
  readonly continued: number;
}

export interface SnapshotInput {
  readonly simulated: boolean;
  readonly draining: boolean;
  readonly servers: readonly ServerInput[];
  /** Null if no GPU driver answers on this box. */
  readonly gpus: readonly Gpu[] | null;
  readonly traffic: Snapshot["traffic"];
  readonly journal: Pick<JournalState, "state" | "reason">;
  readonly usageBehindMs: number | null;
}

/** Longest `why` that the wire accepts, in characters. */
const MAX_WHY = 200;

/** Reasons of a journal without free space. */
const NO_SPACE: ReadonlySet<string | null> = new Set(["ENOSPC", "EDQUOT"]);

export function boxSnapshot(input: SnapshotInput): BoxSnapshot {
  const { simulated, draining, servers, gpus, traffic, journal, usageBehindMs } = input;
  return {
    ...(simulated ? { simulated } : {}),
    draining,
    servers: servers.map(serverSnapshot),
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
      state: journal.state === "ok" ? "ok" : NO_SPACE.has(journal.reason) ? "full" : "failing",
      behindMs: rounded(usageBehindMs, 0),
    },
  };
}

function serverSnapshot(server: ServerInput): ServerSnapshot {
  const { port, plannedSlots, slots, health, queue, tokensPerSecond, firstToken, continued } = server;
  return {
    port,
    state: health.state satisfies LinkState,
    // A healthy server needs no reason.
    why: health.cause.tag === "well" ? "" : health.text.slice(0, MAX_WHY),
    slots: slots.total > 0 ? slots.total : plannedSlots,
    busy: slots.leased + slots.awaiting + slots.foreign,
    waiting: queue.waiting,
    places: queue.places,
    // Unknown while the server takes no calls.
    waitMs: health.usable ? rounded(queue.newcomerMs, 0) : null,
    tokensPerSecond: rounded(tokensPerSecond, 1),
    firstTokenP50Ms: firstToken.p50Ms,
    firstTokenP95Ms: firstToken.p95Ms,
    continued,
    gpuGib: rounded(health.gpuGib, 2),
    restarts: health.restarts,
  };
}

/** (5) The smallest changes that make a snapshot due, for figures that always fluctuate. */
const MIN_CHANGE = {
  /** A model was loaded or unloaded; the cache of one call is far smaller. */
  gib: 0.25,
  percent: 10,
  celsius: 3,
  watts: 25,
  /** Shares of the larger value. */
  tokenShare: 0.1,
  waitShare: 0.2,
  behindMs: 5_000,
} as const;

/** (5) Whether the snapshot should be sent now instead of at the end of the interval. */
export function changedSince(sent: BoxSnapshot, now: BoxSnapshot): boolean {
  if (sent.draining !== now.draining || sent.journal.state !== now.journal.state) return true;
  if (changedBy(sent.journal.behindMs, now.journal.behindMs, MIN_CHANGE.behindMs)) return true;
  // Running and queued calls change slots and queues; a call that failed at once changes only this count.
  if (sent.traffic.failed !== now.traffic.failed) return true;
  if (sent.servers.length !== now.servers.length || sent.gpus?.length !== now.gpus?.length) return true;
  return (
    now.servers.some((server, index) => serverChanged(sent.servers[index], server)) ||
    (now.gpus ?? []).some((gpu, index) => {
      const before = sent.gpus?.[index];
      return (
        before === undefined ||
        changedBy(before.memoryUsedGib, gpu.memoryUsedGib, MIN_CHANGE.gib) ||
        changedBy(before.utilizationPercent, gpu.utilizationPercent, MIN_CHANGE.percent) ||
        changedBy(before.temperatureC, gpu.temperatureC, MIN_CHANGE.celsius) ||
        changedBy(before.powerWatts, gpu.powerWatts, MIN_CHANGE.watts)
      );
    })
  );
}

function serverChanged(before: ServerSnapshot | undefined, now: ServerSnapshot): boolean {
  if (before === undefined) return true;
  const same = (
    ["port", "state", "slots", "busy", "waiting", "places", "restarts", "continued"] as const
  ).every((name) => before[name] === now[name]);
  return (
    !same ||
    changedBy(before.gpuGib, now.gpuGib, MIN_CHANGE.gib) ||
    changedByShare(before.tokensPerSecond, now.tokensPerSecond, MIN_CHANGE.tokenShare) ||
    changedByShare(before.waitMs, now.waitMs, MIN_CHANGE.waitShare)
  );
}

function changedBy(before: number | null, now: number | null, by: number): boolean {
  return before === null || now === null ? before !== now : Math.abs(before - now) >= by;
}

function changedByShare(before: number | null, now: number | null, share: number): boolean {
  if (before === null || now === null) return before !== now;
  return Math.abs(before - now) > share * Math.max(before, now);
}

/** Unrounded figures would double the size of the frame. */
function rounded(value: number | null, digits: number): number | null {
  return value === null ? null : Number(value.toFixed(digits));
}
