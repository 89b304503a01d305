// Sample calls for the journal's tests, and the calls that a correct journal returns for them.
import type { CallEnd, CallStart, UsageCall } from "../../../shared/usage.ts";
import type { JournalRecord } from "../../../origin-agent/usage/record.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";

export const EPOCH = "0000abcd-17-4711";

export function callStart(callId: string, change: Partial<CallStart> = {}): CallStart {
  return {
    callId,
    keyId: "k1",
    agentType: "Radiology",
    model: "Heron-3B",
    port: 9101,
    startedAt: 1_795_000_000_000,
    ...change,
  };
}

export function callEnd(change: Partial<CallEnd> = {}): CallEnd {
  return {
    outcome: "complete",
    promptTokens: 12,
    cachedTokens: 0,
    completionTokens: 34,
    choices: 1,
    estimated: false,
    durationMs: 1_500,
    ...change,
  };
}

/** Records of calls that start and end in random order; some never end. */
export function someRecords(random: SeededRandom, length: number): JournalRecord[] {
  const records: JournalRecord[] = [];
  const open: string[] = [];
  let seq = 0;
  for (let step = 0; step < length; step += 1) {
    if (open.length > 0 && random.chance(0.45)) {
      const [callId = ""] = open.splice(random.below(open.length), 1);
      const outcome = random.pick(["complete", "aborted", "broken"] as const);
      const completionTokens = random.chance(0.1) ? null : random.below(2_000);
      records.push({ t: "end", seq: ++seq, callId, ...callEnd({ outcome, completionTokens }) });
    } else {
      const callId = `call-${step}`;
      open.push(callId);
      const start = callStart(callId, { keyId: `k${random.below(4)}`, port: 9_100 + random.below(3) });
      records.push({ t: "start", seq: ++seq, ...start });
    }
  }
  return records;
}

/** The calls of these records, computed in the simplest way. */
export function expectedCalls(records: readonly JournalRecord[]): {
  ended: UsageCall[];
  interrupted: string[];
} {
  const starts = new Map<string, CallStart>();
  const ended: UsageCall[] = [];
  for (const record of records) {
    if (record.t === "start") {
      const { t: _t, seq: _seq, ...start } = record;
      starts.set(record.callId, start);
    } else if (record.t === "end") {
      const start = starts.get(record.callId);
      const { t: _t, ...end } = record;
      if (start !== undefined) ended.push({ ...start, ...end });
      starts.delete(record.callId);
    }
  }
  return { ended, interrupted: [...starts.keys()] };
}
