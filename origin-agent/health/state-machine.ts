// The health of one llama-server as a pure state machine: what was heard goes in with its time, the state
// with its cause comes out. The state is concluded anew from all evidence each time, so that none can linger
// that the evidence contradicts; `/health` alone never refutes a stall.
import { stuckSlots } from "./decode-progress.ts";
import { causeInWords, type HealthCause, type HealthState } from "./cause.ts";
import { isAnotherProcess, takeIn } from "./evidence.ts";
import type { HealthEvent, HealthRecord, Pm2Evidence } from "./record.ts";
import { noteTime, remainingTime, usualTime } from "./duration-baseline.ts";

/** Probes of `/health` in a row without an answer before a server is down: one may meet a busy moment. */
const FAILURES_TO_DOWN = 3;

/** Calls in a row that broke, with nothing that worked between, before a server that says ok is down. */
const BROKEN_TO_DOWN = 3;

/** So many falls within the time make a server prove itself before it is used again. */
const FALLS_TO_PROVE = 3;
const FALLS_WITHIN_MS = 60_000;

/** It isn't held back for longer, milliseconds, even where no proof can be had. */
const PROVING_MS = 10_000;

/** Falls of this long ago are told to operators, milliseconds. */
const FALLS_TOLD_MS = 600_000;
const FALLS_KEPT = 16;

/** PM2's word counts for so long, milliseconds: twice the slowest pace at which it is asked. */
const PM2_WORD_MS = 10_000;

/** A server that has been coming up for longer isn't waited for, milliseconds: the slowest known load takes a minute. */
const COMING_MS = 120_000;

export type HealthChange =
  | {
      readonly kind: "state";
      readonly from: HealthState;
      readonly to: HealthState;
      readonly cause: HealthCause;
      /** How long it was in the state it left. */
      readonly lastedMs: number;
    }
  /** Same state, another reason. */
  | { readonly kind: "cause"; readonly state: HealthState; readonly cause: HealthCause }
  | { readonly kind: "restarted"; readonly restarts: number | null }
  | { readonly kind: "slot-stuck" | "slot-freed"; readonly slot: number };

export interface HealthStep {
  readonly record: HealthRecord;
  readonly changes: readonly HealthChange[];
}

/** Takes in one event. */
export function step(before: HealthRecord, event: HealthEvent, now: number): HealthStep {
  const heard = noteFall(before, takeIn(before, event, now), now);
  const { state, cause } = conclude(heard, now);
  const since = state === before.state ? before.since : now;
  const record = noteComing(before, { ...heard, state, cause, since }, now);
  return { record, changes: changesBetween(before, record, now) };
}

/** What follows from the evidence; the first that holds. */
function conclude(
  record: HealthRecord,
  now: number,
): { readonly state: HealthState; readonly cause: HealthCause } {
  const { sign, stall, memory, decode, failures, brokenCalls, weightsGib } = record;
  const is = (state: HealthState, cause: HealthCause): ReturnType<typeof conclude> => ({ state, cause });
  if (failures >= FAILURES_TO_DOWN) return is("down", { tag: "no-answer", failures });
  if (sign === null) return is("down", { tag: "not-asked" });
  if (sign === "refused")
    return is("down", { tag: "refused", pm2: pm2Evidence(record, now)?.status ?? null });
  if (sign === "loading") return is("loading", { tag: "loading" });
  if (sign === "restarted") return is("loading", { tag: "restarted" });
  if (isStopping(record, now)) return is("down", { tag: "stopping" });
  if (brokenCalls >= BROKEN_TO_DOWN) return is("down", { tag: "calls-break", calls: brokenCalls });
  if (stall !== null) return is("stalled", stall.cause);
  if (record.provingSince !== null && now - record.provingSince < PROVING_MS) {
    return is("loading", { tag: "proving", falls: recentFalls(record, now, FALLS_WITHIN_MS) });
  }
  if (record.draining) return is("draining", { tag: "drained" });
  if (memory.low && weightsGib !== null) {
    return is("slow", { tag: "cpu-fallback", heldGib: memory.gib, weightsGib });
  }
  if (decode.slow) {
    const { lately, usual } = decode;
    return is("slow", { tag: "slow-decode", tokensPerSecond: lately, usualTokensPerSecond: usual });
  }
  return is("ready", { tag: "well" });
}

/** `/health` is answered, and with ok; whether that is to be believed is another matter. */
export const saysOk = (record: HealthRecord): boolean =>
  record.sign === "ok" && record.failures < FAILURES_TO_DOWN;

/** Calls may be sent. A slow server takes them too: where another can serve, prefer that (`isPreferred`). */
export const isUsable = ({ state }: HealthRecord): boolean => state === "ready" || state === "slow";

export const isPreferred = ({ state }: HealthRecord): boolean => state === "ready";

/** Worth waiting for (`loadWait`) instead of falling back: it is loading, or PM2 is bringing it back. */
export function isWaitable(record: HealthRecord, now: number): boolean {
  return !record.draining && record.coming !== null && now - record.coming.since < COMING_MS;
}

/** What is left until it is ready, for `Retry-After`; null where it isn't coming, or never was seen to. */
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
  pm2 !== null && now - pm2.at < PM2_WORD_MS ? pm2 : null;

/** PM2 has told the process to go, and no other has answered since. */
const isStopping = (record: HealthRecord, now: number): boolean =>
  pm2Evidence(record, now)?.status === "stopping" && record.okSince <= (record.pm2?.at ?? 0);

function noteFall(before: HealthRecord, after: HealthRecord, now: number): HealthRecord {
  if (saysOk(before) && !saysOk(after)) {
    return { ...after, falls: [...after.falls, now].slice(-FALLS_KEPT) };
  }
  const isBack = !saysOk(before) && saysOk(after);
  return isBack && recentFalls(after, now, FALLS_WITHIN_MS) >= FALLS_TO_PROVE
    ? { ...after, provingSince: now }
    : after;
}

const recentFalls = ({ falls }: HealthRecord, now: number, withinMs: number): number =>
  falls.filter((at) => now - at < withinMs).length;

/** Follows a server on its way up and learns how long that took. */
function noteComing(before: HealthRecord, record: HealthRecord, now: number): HealthRecord {
  const { coming } = record;
  if (isComing(record, now)) {
    // One that was already loading when this agent came has been at it for nobody knows how long.
    return coming === null ? { ...record, coming: { since: now, whole: before.sign !== null } } : record;
  }
  if (coming === null) return record;
  const isUp = isUsable(record) || record.state === "draining";
  const loads = isUp && coming.whole ? noteTime(record.loads, now - coming.since) : record.loads;
  return { ...record, coming: null, loads };
}

const NO_CHANGES: readonly HealthChange[] = [];

function changesBetween(before: HealthRecord, after: HealthRecord, now: number): readonly HealthChange[] {
  const isSame =
    after.pm2 === before.pm2 && after.state === before.state && after.cause.tag === before.cause.tag;
  const { busy, readAt } = after.progress;
  // All that most calls come to.
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

/** A server's health as others are told it; what can't be known is null. */
export interface HealthView {
  readonly state: HealthState;
  readonly cause: HealthCause;
  readonly words: string;
  readonly forMs: number;
  readonly usable: boolean;
  readonly preferred: boolean;
  readonly waitable: boolean;
  readonly remainingMs: number | null;
  readonly usualLoadMs: number | null;
  readonly decodePerSecond: number | null;
  readonly usualDecodePerSecond: number | null;
  readonly usualPromptPerSecond: number | null;
  readonly gpuGib: number | null;
  readonly stuckSlots: readonly number[];
  readonly restarts: number | null;
  /** How often it fell in the last ten minutes. */
  readonly falls: number;
}

export function viewOf(record: HealthRecord, now: number): HealthView {
  const { state, cause } = record;
  return {
    state,
    cause,
    words: causeInWords(cause),
    forMs: now - record.since,
    usable: isUsable(record),
    preferred: isPreferred(record),
    waitable: isWaitable(record, now),
    remainingMs: remainingLoadMs(record, now),
    usualLoadMs: usualTime(record.loads),
    decodePerSecond: record.decode.lately,
    usualDecodePerSecond: record.decode.usual,
    usualPromptPerSecond: record.prompt.usual,
    gpuGib: record.memory.gib,
    stuckSlots: stuckSlots(record.progress),
    restarts: pm2Evidence(record, now)?.restarts ?? null,
    falls: recentFalls(record, now, FALLS_TOLD_MS),
  };
}
