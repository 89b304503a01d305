// The health of one llama-server as a pure state machine: events with their times go in, the state with its cause comes
// out. Every event derives the state from all evidence again, so no state persists against the evidence (design.md, 1);
// `/health` alone never refutes a stall (2).
//
// | first condition that holds                                                          | state   |
// | ----------------------------------------------------------------------------------- | ------- |
// | after it was up, no answer to three probes of `/health`, nor anything else for 10 s | stalled |
// | three probes of `/health` without an answer; never probed; refused                  | down    |
// | `/health` reports loading, or PM2 reports a new process                             | loading |
// | PM2 is stopping it; it refuses our API key; three calls in a row broke              | down    |
// | a stall (decode-progress.ts, a call's watchdog, the one-token call)                 | stalled |
// | three failures within a minute, until it decodes a token or 10 s passed             | loading |
// | too little GPU memory, or a speed far below its own history                         | slow    |
// | otherwise                                                                           | ready   |
import { stuckSlots } from "./decode-progress.ts";
import { causeText, type HealthCause, type HealthState } from "./cause.ts";
import { isAnotherProcess, applyEvent } from "./evidence.ts";
import type { HealthEvent, HealthRecord, Pm2Evidence } from "./record.ts";
import { noteTime, remainingTime } from "./duration-baseline.ts";

/** Consecutive probes of `/health` without an answer before a server is down: a single one may meet a busy moment. */
const FAILURES_TO_DOWN = 3;

/** After this long without an answer, byte or token, the calls that run on a server are broken off. */
const FROZEN_MS = 10_000;

/** Consecutive broken calls, without a success between them, before a server that reports ok is down. */
const BROKEN_TO_DOWN = 3;

/** After this many failures within FALLS_WITHIN_MS, a server must decode a token before it is used again (8). */
const FALLS_TO_PROVE = 3;
const FALLS_WITHIN_MS = 60_000;

const FALLS_KEPT = 16;

/** Longest time without use, even if no proof can be had. */
const PROVING_MS = 10_000;

/** How long PM2's report counts: twice the slowest interval between two queries. */
const PM2_FRESH_MS = 10_000;

/** No call waits for a server that has been coming up for longer: the slowest known load takes a minute. */
const COMING_MS = 120_000;

export type HealthChange =
  | {
      readonly kind: "state";
      readonly from: HealthState;
      readonly to: HealthState;
      readonly cause: HealthCause;
      /** How long the previous state lasted. */
      readonly lastedMs: number;
    }
  /** Same state, another cause. */
  | { readonly kind: "cause"; readonly state: HealthState; readonly cause: HealthCause }
  | { readonly kind: "restarted"; readonly restarts: number | null }
  | { readonly kind: "slot-stuck" | "slot-freed"; readonly slot: number };

export interface HealthStep {
  readonly record: HealthRecord;
  readonly changes: readonly HealthChange[];
}

/** Applies one event. */
export function step(before: HealthRecord, event: HealthEvent, now: number): HealthStep {
  const updated = noteFall(before, applyEvent(before, event, now), now);
  const { state, cause } = derive(updated, now);
  const since = state === before.state ? before.since : now;
  const record = noteComing(before, { ...updated, state, cause, since }, now);
  return { record, changes: changesBetween(before, record, now) };
}

/** Derives the state from the evidence: the first condition that holds. */
function derive(
  record: HealthRecord,
  now: number,
): { readonly state: HealthState; readonly cause: HealthCause } {
  const { sign, stall, memory, decode, failures, brokenCalls, weightsGib } = record;
  const is = (state: HealthState, cause: HealthCause): ReturnType<typeof derive> => ({ state, cause });
  if (failures >= FAILURES_TO_DOWN) {
    const silentMs = now - record.respondedAt;
    const isFrozen = sign === "ok" && silentMs >= FROZEN_MS;
    return isFrozen ? is("stalled", { tag: "frozen", silentMs }) : is("down", { tag: "no-answer", failures });
  }
  if (sign === null) return is("down", { tag: "not-asked" });
  if (sign === "refused")
    return is("down", { tag: "refused", pm2: pm2Evidence(record, now)?.status ?? null });
  if (sign === "loading") return is("loading", { tag: "loading" });
  if (sign === "restarted") return is("loading", { tag: "restarted" });
  if (isStopping(record, now)) return is("down", { tag: "stopping" });
  if (record.refusesKey) return is("down", { tag: "wrong-key" });
  if (brokenCalls >= BROKEN_TO_DOWN) return is("down", { tag: "calls-break", calls: brokenCalls });
  if (stall !== null) return is("stalled", stall.cause);
  if (record.provingSince !== null && now - record.provingSince < PROVING_MS) {
    return is("loading", { tag: "proving", falls: recentFalls(record, now) });
  }
  if (memory.low && weightsGib !== null) {
    return is("slow", { tag: "cpu-fallback", heldGib: memory.gib, weightsGib });
  }
  if (decode.slow) {
    const { recent, usual } = decode;
    return is("slow", { tag: "slow-decode", tokensPerSecond: recent, usualTokensPerSecond: usual });
  }
  return is("ready", { tag: "well" });
}

/** Whether `/health` returns ok; other evidence may contradict it. */
export const reportsOk = (record: HealthRecord): boolean =>
  record.sign === "ok" && record.failures < FAILURES_TO_DOWN;

/** Whether calls may be sent. A slow server takes calls too; prefer another one if possible (`isPreferred`). */
export const isUsable = ({ state }: HealthRecord): boolean => state === "ready" || state === "slow";

export const isPreferred = ({ state }: HealthRecord): boolean => state === "ready";

/** Whether waiting (`loadWait`) is better than falling back: the server is loading, or PM2 is restarting it. */
export function isWaitable(record: HealthRecord, now: number): boolean {
  return record.coming !== null && now - record.coming.since < COMING_MS;
}

/** Time until the server is ready, for `Retry-After`; null if it isn't coming up or has never been observed to. */
export const remainingLoadMs = ({ coming, loads }: HealthRecord, now: number): number | null =>
  coming === null ? null : remainingTime(loads, now - coming.since);

function isComing(record: HealthRecord, now: number): boolean {
  if (record.state === "loading" || record.cause.tag === "stopping") return true;
  if (record.cause.tag !== "refused") return false;
  switch (pm2Evidence(record, now)?.status) {
    case "online":
    case "launching":
    case "stopping":
    case "waiting restart":
      return true;
    default:
      return false;
  }
}

const pm2Evidence = ({ pm2 }: HealthRecord, now: number): Pm2Evidence | null =>
  pm2 !== null && now - pm2.at < PM2_FRESH_MS ? pm2 : null;

/** Whether PM2 is stopping the process and no other process has answered since. */
const isStopping = (record: HealthRecord, now: number): boolean =>
  pm2Evidence(record, now)?.status === "stopping" && record.okSince <= (record.pm2?.at ?? 0);

function noteFall(before: HealthRecord, after: HealthRecord, now: number): HealthRecord {
  if (reportsOk(before) && !reportsOk(after)) {
    return { ...after, falls: [...after.falls, now].slice(-FALLS_KEPT) };
  }
  const isBack = !reportsOk(before) && reportsOk(after);
  return isBack && recentFalls(after, now) >= FALLS_TO_PROVE ? { ...after, provingSince: now } : after;
}

/** Failures within the last minute. */
const recentFalls = ({ falls }: HealthRecord, now: number): number =>
  falls.filter((at) => now - at < FALLS_WITHIN_MS).length;

/** Follows a server while it comes up, and learns how long that took. */
function noteComing(before: HealthRecord, record: HealthRecord, now: number): HealthRecord {
  const { coming } = record;
  if (isComing(record, now)) {
    // A server that was already loading when this agent started has an unknown start.
    return coming === null ? { ...record, coming: { since: now, whole: before.sign !== null } } : record;
  }
  if (coming === null) return record;
  const loads = isUsable(record) && coming.whole ? noteTime(record.loads, now - coming.since) : record.loads;
  return { ...record, coming: null, loads };
}

const NO_CHANGES: readonly HealthChange[] = [];

function changesBetween(before: HealthRecord, after: HealthRecord, now: number): readonly HealthChange[] {
  const isSame =
    after.pm2 === before.pm2 && after.state === before.state && after.cause.tag === before.cause.tag;
  const { busy, readAt } = after.progress;
  // Most calls change nothing else.
  if (isSame && busy === before.progress.busy && readAt === before.progress.readAt) return NO_CHANGES;
  const changes: HealthChange[] = [];
  if (isAnotherProcess(before.pm2, after.pm2)) {
    changes.push({ kind: "restarted", restarts: after.pm2?.restarts ?? null });
  }
  const { state, cause } = after;
  if (state !== before.state) {
    changes.push({ kind: "state", from: before.state, to: state, cause, lastedMs: now - before.since });
  } else if (cause.tag !== before.cause.tag) changes.push({ kind: "cause", state, cause });
  const wasStuck = stuckSlots(before.progress);
  const isStuck = stuckSlots(after.progress);
  for (const slot of isStuck) if (!wasStuck.includes(slot)) changes.push({ kind: "slot-stuck", slot });
  for (const slot of wasStuck) if (!isStuck.includes(slot)) changes.push({ kind: "slot-freed", slot });
  return changes;
}

/** A server's health as reported to other parts; unknown figures are null. */
export interface HealthView {
  readonly state: HealthState;
  readonly cause: HealthCause;
  readonly text: string;
  readonly usable: boolean;
  readonly gpuGib: number | null;
  readonly restarts: number | null;
}

export function viewOf(record: HealthRecord, now: number): HealthView {
  const { state, cause, memory } = record;
  return {
    state,
    cause,
    text: causeText(cause),
    usable: isUsable(record),
    gpuGib: memory.gib,
    restarts: pm2Evidence(record, now)?.restarts ?? null,
  };
}
