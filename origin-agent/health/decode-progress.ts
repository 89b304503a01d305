// Whether a server decodes, as its `/slots` shows from one look to the next. A pure core: it holds at most one
// small record a slot, and judges only by looks that were made.
import { PROMPT_STALL_MS, STALL_MS } from "../../shared/limits.ts";
import type { StallCause } from "./cause.ts";

/** A speed is measured over at least this long, milliseconds: looks come each second, a few of them even out. */
const SPEED_WINDOW_MS = 3_000;

/** Slots watched; a server with more keeps the rest to itself. */
const MAX_SLOTS = 128;

/** What `/slots` says of one slot (`probes/llama.ts`). */
export interface SlotReading {
  readonly id: number;
  readonly busy: boolean;
  readonly task: number | null;
  readonly decoded: number | null;
  readonly promptProcessed: number | null;
}

/** A busy slot and when its counts last moved. Times are monotonic milliseconds. */
interface Watched {
  readonly id: number;
  readonly task: number | null;
  readonly decoded: number | null;
  readonly promptProcessed: number | null;
  readonly movedAt: number;
  /** Where the speed now being measured began; null before the first token. */
  readonly from: { readonly decoded: number; readonly at: number } | null;
}

export interface DecodeProgress {
  readonly busy: readonly Watched[];
  /** When somebody last looked, answered or not. */
  readonly readAt: number | null;
  /** The last time any slot's counts moved, or a call proved that the server decodes. */
  readonly aliveAt: number | null;
  /** Since when `/slots`, which did answer, no longer does. */
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
  /** A token was decoded, or a prompt got further, since the look before. */
  readonly moved: boolean;
  /** Decode speeds measured, tokens per second. */
  readonly speeds: readonly number[];
}

/** Takes in one look at `/slots`; null where it gave no answer. */
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
      // A task that is new since the last answer has decoded since then; at a first look nobody can tell.
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

/** Something else proved that the server decodes: a call was answered, a stream's tokens came. */
export const noteAlive = (progress: DecodeProgress, now: number): DecodeProgress => ({
  ...progress,
  aliveAt: now,
  // A server that decodes and yet doesn't answer `/slots` isn't to be doubted for that again and again.
  silentSince: null,
  answered: progress.silentSince === null && progress.answered,
});

/**
 * The stall that the looks so far prove, or null. A slot that stands still while the server has since been
 * seen to decode elsewhere is one stuck call (see `stuckSlots`), not a server that hangs.
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

/** Slots that have stood still for longer than they may, whatever the server does elsewhere. */
export function stuckSlots(progress: DecodeProgress): readonly number[] {
  const { readAt } = progress;
  if (readAt === null) return [];
  return progress.busy
    .filter((slot) => readAt - slot.movedAt >= (limitOf(slot) ?? Infinity))
    .map(({ id }) => id);
}

/** How long the slot may stand still; null where its counts can't be told. */
function limitOf(slot: Watched): number | null {
  if (slot.decoded === null) return null;
  if (slot.decoded > 0) return STALL_MS;
  return slot.promptProcessed === null ? null : PROMPT_STALL_MS;
}

/** The server was alive after the slot had stood still for as long as it may. */
const isExcused = (slot: Watched, limit: number, aliveAt: number | null): boolean =>
  aliveAt !== null && aliveAt - slot.movedAt >= limit;

const movedSince = (last: Watched, slot: SlotReading): boolean =>
  isMore(slot.decoded, last.decoded) || isMore(slot.promptProcessed, last.promptProcessed);

/** The same task number with smaller counts is another task in truth. */
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
