// What the records of one epoch add up to: each call that has a start and an end, once, in the order of their ends.
// Pure: it is told records and asked for calls. A call without its start is nobody's, so nothing is made up for it.
import type { UsageCall } from "../../shared/usage.ts";
import type { JournalRecord, StartRecord } from "./record.ts";

export class JournalFold {
  /** Highest number seen: whatever comes at or below it is a line that was written twice. */
  #lastSeq = 0;
  #acknowledged = 0;
  #open = new Map<string, StartRecord>();

  /** Everything up to here was acknowledged, as far as the records say. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Takes the next record; an end gives its call. Acknowledged ones too: who asks knows what was. */
  push(record: JournalRecord): UsageCall | null {
    if (record.t === "ack") {
      this.#acknowledged = Math.max(this.#acknowledged, record.upTo);
      return null;
    }
    if (record.seq <= this.#lastSeq) return null;
    this.#lastSeq = record.seq;
    if (record.t === "start") {
      // A call that is still open is written again at the head of each new file: that isn't a second call.
      if (!this.#open.has(record.callId)) this.#open.set(record.callId, record);
      return null;
    }
    const start = this.#open.get(record.callId);
    if (start === undefined) return null;
    this.#open.delete(record.callId);
    return usageCall(start, record);
  }

  /**
   * The calls whose end nobody wrote, for an epoch whose process is gone. Their numbers follow from the records
   * alone, so that two agents which both find the journal name the same call the same.
   */
  interrupted(): UsageCall[] {
    return [...this.#open.values()].map((start, index) =>
      usageCall(start, { ...UNSEEN_END, seq: this.#lastSeq + 1 + index }),
    );
  }
}

const UNSEEN_END = {
  outcome: "interrupted",
  promptTokens: null,
  cachedTokens: null,
  completionTokens: null,
  choices: 0,
  estimated: true,
  durationMs: null,
} as const;

function usageCall(start: StartRecord, end: Omit<UsageCall, keyof StartRecord> & { seq: number }): UsageCall {
  return {
    seq: end.seq,
    callId: start.callId,
    keyId: start.keyId,
    agentType: start.agentType,
    model: start.model,
    port: start.port,
    startedAt: start.startedAt,
    outcome: end.outcome,
    promptTokens: end.promptTokens,
    cachedTokens: end.cachedTokens,
    completionTokens: end.completionTokens,
    choices: end.choices,
    estimated: end.estimated,
    durationMs: end.durationMs,
  };
}
