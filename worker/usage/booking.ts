// Decides what a batch of usage records adds to the ledger: which calls are new, and the hour each is booked under.
// Pure: the epoch's last booked seq and the clock go in, sums by hour, key, model and agent type come out.
import { hourStart } from "../../shared/calendar.ts";
import type { UsageCall } from "../../shared/usage.ts";
import type { UsageSums } from "../../shared/usage-report.ts";
import { CLOCK_OFF_MS } from "../../shared/wire.ts";
import { oldestHour } from "./time-ranges.ts";

/**
 * The most tokens that one call counts for: far more than any context, and small enough that the sums of years stay
 * exact. A higher figure is a counting error, so the call is marked as estimated.
 */
const MAX_TOKENS_A_CALL = 100_000_000;

interface Batch {
  /** The last seq that the ledger acknowledged to the sender. */
  readonly ackedSeq: number;
  /** In order of their seq. */
  readonly calls: readonly UsageCall[];
}

/** Sums of the calls that share an hour, a key, a model and an agent type. */
export interface Entry extends UsageSums {
  readonly hour: number;
  readonly key: string;
  readonly model: string;
  readonly agent: string;
}

interface Booking {
  /** The epoch's last booked seq once the entries are stored. */
  readonly lastSeq: number;
  readonly entries: readonly Entry[];
  /** Calls dated outside the range that can be booked; they are booked under the hour of their arrival. */
  readonly misdated: number;
}

export const NOTHING: UsageSums = {
  calls: 0,
  complete: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  estimatedCalls: 0,
};

/** @param lastSeq the last seq of the epoch that is already booked, 0 for none */
export function bookBatch(lastSeq: number, { ackedSeq, calls }: Batch, now: number): Booking {
  // After a gap, `lastSeq` would cover calls that were never booked; the same if a batch is out of order.
  if (ackedSeq > lastSeq || !ascends(ackedSeq, calls)) return { lastSeq, entries: [], misdated: 0 };
  const entries = new Map<string, Entry>();
  let booked = lastSeq;
  let misdated = 0;
  for (const call of calls) {
    if (call.seq <= lastSeq) continue;
    booked = call.seq;
    const isDated = call.startedAt <= now + CLOCK_OFF_MS && call.startedAt >= oldestHour(now);
    if (!isDated) misdated += 1;
    const hour = hourStart(isDated ? call.startedAt : now);
    // Names contain no space.
    const group = `${hour} ${call.keyId} ${call.model} ${call.agentType}`;
    const sums = plus(entries.get(group) ?? NOTHING, sumsOf(call));
    entries.set(group, { ...sums, hour, key: call.keyId, model: call.model, agent: call.agentType });
  }
  return { lastSeq: booked, entries: [...entries.values()], misdated };
}

export function plus(a: UsageSums, b: UsageSums): UsageSums {
  return {
    calls: a.calls + b.calls,
    complete: a.complete + b.complete,
    promptTokens: a.promptTokens + b.promptTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    estimatedCalls: a.estimatedCalls + b.estimatedCalls,
  };
}

/** One call as sums. Unknown token counts add nothing and mark the call as estimated. */
export function sumsOf(call: UsageCall): UsageSums {
  const counts = [call.promptTokens, call.cachedTokens, call.completionTokens];
  const [promptTokens, cachedTokens, completionTokens] = counts.map((count) =>
    Math.min(count ?? 0, MAX_TOKENS_A_CALL),
  ) as [number, number, number];
  // A refused call used no tokens, so nothing is unknown about it.
  const isUnknown =
    call.outcome !== "refused" && (call.promptTokens === null || call.completionTokens === null);
  const isAbsurd = counts.some((count) => count !== null && count > MAX_TOKENS_A_CALL);
  return {
    calls: 1,
    complete: call.outcome === "complete" ? 1 : 0,
    promptTokens,
    cachedTokens,
    completionTokens,
    estimatedCalls: call.estimated || isUnknown || isAbsurd ? 1 : 0,
  };
}

function ascends(ackedSeq: number, calls: readonly UsageCall[]): boolean {
  let last = ackedSeq;
  for (const { seq } of calls) {
    if (seq <= last) return false;
    last = seq;
  }
  return true;
}
