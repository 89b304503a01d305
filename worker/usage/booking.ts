// What a batch of calls adds to the ledger: which of them are new, and the hour each is booked at. Pure: the
// epoch's mark and the clock come in, sums by hour, key, model and agent type go out.
import type { UsageCall } from "../../shared/usage.ts";
import type { UsageSums } from "../../shared/usage-report.ts";
import { CLOCK_OFF_MS } from "../../shared/wire.ts";
import { hourOf, oldestHour } from "./time-ranges.ts";

/**
 * Most tokens one call counts for: far beyond any context, and small enough that the sums of years stay exact. A
 * higher figure is a fault of whoever counted, so the call is marked as estimated.
 */
const MAX_TOKENS_A_CALL = 100_000_000;

export interface Batch {
  /** The last number the sender knows to be booked. */
  readonly after: number;
  /** In order of their numbers. */
  readonly calls: readonly UsageCall[];
}

/** Sums of the calls that share an hour, a key, a model and an agent type. */
export interface Entry extends UsageSums {
  readonly hour: number;
  readonly key: string;
  readonly model: string;
  readonly agent: string;
}

export interface Booking {
  /** The epoch's mark once the entries are kept. */
  readonly upTo: number;
  readonly entries: readonly Entry[];
  /** Calls that were dated where nothing is kept or hasn't come yet, and so are booked at the hour they arrived. */
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

/** @param mark the number up to which the epoch's calls are booked, 0 for none. */
export function bookBatch(mark: number, { after, calls }: Batch, now: number): Booking {
  // Booking past a gap would put the mark over calls that nobody has booked; a batch out of order, the same.
  if (after > mark || !ascends(after, calls)) return { upTo: mark, entries: [], misdated: 0 };
  const entries = new Map<string, Entry>();
  let upTo = mark;
  let misdated = 0;
  for (const call of calls) {
    if (call.seq <= mark) continue;
    upTo = call.seq;
    const isDated = call.startedAt <= now + CLOCK_OFF_MS && call.startedAt >= oldestHour(now);
    if (!isDated) misdated += 1;
    const hour = hourOf(isDated ? call.startedAt : now);
    // No name holds a space.
    const name = `${hour} ${call.keyId} ${call.model} ${call.agentType}`;
    const known = entries.get(name);
    const sums = plus(known ?? NOTHING, sumsOf(call));
    entries.set(name, { ...sums, hour, key: call.keyId, model: call.model, agent: call.agentType });
  }
  return { upTo, entries: [...entries.values()], misdated };
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

/** One call as sums. Tokens nobody could count add nothing, and the call says so by being estimated. */
export function sumsOf(call: UsageCall): UsageSums {
  const counts = [call.promptTokens, call.cachedTokens, call.completionTokens];
  const [promptTokens, cachedTokens, completionTokens] = counts.map((count) =>
    Math.min(count ?? 0, MAX_TOKENS_A_CALL),
  ) as [number, number, number];
  // A refused call has none, so nothing about it is unsure.
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

function ascends(after: number, calls: readonly UsageCall[]): boolean {
  let last = after;
  for (const { seq } of calls) {
    if (seq <= last) return false;
    last = seq;
  }
  return true;
}
