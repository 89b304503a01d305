// Judges from successive readings of `/slots` whether a server decodes. Pure: it keeps at most one small record per slot
// and judges only by readings that were taken.
import { PROMPT_STALL_MS, STALL_MS } from "../../shared/limits.ts";
import type { SlotReading } from "../probes/llama.ts";
import type { StallCause } from "./cause.ts";

/** Least period of a speed measurement: readings come every second, and a few of them even out. */
const SPEED_WINDOW_MS = 3_000;

/** Largest number of watched slots; more are ignored. */
const MAX_SLOTS = 128;

/** A busy slot and when its counts last changed. Times are monotonic milliseconds. */
interface Watched {
  readonly id: number;
  readonly task: number | null;
  readonly decoded: number | null;
  readonly promptProcessed: number | null;
  readonly movedAt: number;
  /** Start of the current speed measurement; null before the first token. */
  readonly from: { readonly decoded: number; readonly at: number } | null;
}

export interface DecodeProgress {
  readonly busy: readonly Watched[];
  /** When `/slots` was last read, with or without an answer. */
  readonly readAt: number | null;
  /** When any slot's counts last changed, or a call proved that the server decodes. */
  readonly aliveAt: number | null;
  /** When `/slots` stopped answering; null while it answers or if it never did. */
  readonly silentSince: number | null;
  readonly answered: boolean;
}

export const NOTHING_WATCHED: DecodeProgress = {
  busy: [],
  readAt: null,
  aliveAt: null,
  silentSince: null,
  answered: false,
};

export interface ReadingResult {
  readonly progress: DecodeProgress;
  /** Whether a token was decoded or a prompt made progress since the last reading. */
  readonly moved: boolean;
  /** Measured decode speeds in tokens per second. */
  readonly speeds: readonly number[];
}

/** Adds a reading of `/slots`; null if there was no answer. */
export function noteReading(
  before: DecodeProgress,
  slots: readonly SlotReading[] | null,
  now: number,
): ReadingResult {
  if (slots === null) {
    const silentSince = before.answered ? (before.silentSince ?? now) : null;
    return { progress: { ...before, readAt: now, silentSince }, moved: false, speeds: [] };
  }
  let moved = false;
  const speeds: number[] = [];
  const busy = slots
    .filter((slot) => slot.busy)
    .slice(0, MAX_SLOTS)
    .map((slot): Watched => {
      const last = before.busy.find(({ id, task }) => id === slot.id && task === slot.task);
      // A task that is new since the last answer has decoded since then; at a first reading that is unknown.
      const isNew = last === undefined && before.answered;
      const hasMoved = last === undefined ? isNew && (slot.decoded ?? 0) > 0 : movedSince(last, slot);
      moved ||= hasMoved;
      const speed = last === undefined ? null : speedSince(last, slot, now);
      if (speed !== null) speeds.push(speed);
      return {
        id: slot.id,
        task: slot.task,
        decoded: slot.decoded,
        promptProcessed: slot.promptProcessed,
        movedAt: last === undefined || hasMoved || steppedBack(last, slot) ? now : last.movedAt,
        from: last?.from && speed === null ? last.from : startOf(slot, now),
      };
    });
  const aliveAt = moved ? now : before.aliveAt;
  return { progress: { busy, readAt: now, aliveAt, silentSince: null, answered: true }, moved, speeds };
}

/** Records that something else proved that the server decodes: a call was answered, or a stream's tokens arrived. */
export const noteAlive = (progress: DecodeProgress, now: number): DecodeProgress => ({
  ...progress,
  aliveAt: now,
  // A server that decodes but doesn't answer `/slots` is not doubted for that repeatedly.
  silentSince: null,
  answered: progress.silentSince === null && progress.answered,
});

/**
 * The stall that the readings prove, or null. If a slot makes no progress while the server decodes in another one, that
 * is one stuck call (see `stuckSlots`), not a stalled server.
 */
export function stallOf(progress: DecodeProgress): StallCause | null {
  const { readAt, aliveAt, silentSince } = progress;
  if (readAt === null) return null;
  for (const slot of progress.busy) {
    const limit = limitOf(slot);
    if (limit === null || isExcused(slot, limit, aliveAt)) continue;
    const silentMs = readAt - Math.max(slot.movedAt, aliveAt ?? -Infinity);
    if (silentMs < limit) continue;
    return { tag: slot.decoded === 0 ? "no-prompt-progress" : "no-decode", slot: slot.id, silentMs };
  }
  if (silentSince !== null && readAt - silentSince >= PROMPT_STALL_MS) {
    return { tag: "slots-silent", silentMs: readAt - silentSince };
  }
  return null;
}

/** Slots without progress for longer than allowed, regardless of the other slots. */
export function stuckSlots(progress: DecodeProgress): readonly number[] {
  const { readAt } = progress;
  if (readAt === null) return [];
  return progress.busy
    .filter((slot) => readAt - slot.movedAt >= (limitOf(slot) ?? Infinity))
    .map(({ id }) => id);
}

/** How long the slot may make no progress; null if its counts are unknown. */
function limitOf(slot: Watched): number | null {
  if (slot.decoded === null) return null;
  if (slot.decoded > 0) return STALL_MS;
  return slot.promptProcessed === null ? null : PROMPT_STALL_MS;
}

/** Whether the server decoded elsewhere after the slot had exceeded its limit. */
const isExcused = (slot: Watched, limit: number, aliveAt: number | null): boolean =>
  aliveAt !== null && aliveAt - slot.movedAt >= limit;

const movedSince = (last: Watched, slot: SlotReading): boolean =>
  isMore(slot.decoded, last.decoded) || isMore(slot.promptProcessed, last.promptProcessed);

/** Whether the counts decreased: then the same task number denotes another task. */
const steppedBack = (last: Watched, slot: SlotReading): boolean => isMore(last.decoded, slot.decoded);

const isMore = (after: number | null, before: number | null): boolean =>
  after !== null && before !== null && after > before;

function speedSince({ from }: Watched, slot: SlotReading, now: number): number | null {
  if (from === null || slot.decoded === null || slot.decoded <= from.decoded) return null;
  const ms = now - from.at;
  return ms < SPEED_WINDOW_MS ? null : ((slot.decoded - from.decoded) * 1_000) / ms;
}

const startOf = (slot: SlotReading, now: number): Watched["from"] =>
  slot.decoded === null || slot.decoded === 0 ? null : { decoded: slot.decoded, at: now };
