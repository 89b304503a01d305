// Combines the records of one epoch into calls: each call with a start and an end, once, in the order of the ends. Pure.
// An end without its start is dropped, because nothing shows which key it belongs to.
import type { UsageCall } from "../../shared/usage.ts";
import type { JournalRecord, StartRecord } from "./record.ts";

export class JournalFold {
  /** The highest seq so far: a record at or below it was written twice. */
  #lastSeq = 0;
  #ackedSeq = 0;
  #open = new Map<string, StartRecord>();

  /** The acknowledged seq, according to the records. */
  get ackedSeq(): number {
    return this.#ackedSeq;
  }

  /** Takes the next record. @returns the call that it ends, even if that is acknowledged already */
  push(record: JournalRecord): UsageCall | null {
    if (record.t === "ack") {
      this.#ackedSeq = Math.max(this.#ackedSeq, record.upTo);
      return null;
    }
    if (record.seq <= this.#lastSeq) return null;
    this.#lastSeq = record.seq;
    if (record.t === "start") {
      // The starts of open calls are written again at the beginning of each new file; that isn't a second call.
      if (!this.#open.has(record.callId)) this.#open.set(record.callId, record);
      return null;
    }
    const start = this.#open.get(record.callId);
    if (start === undefined) return null;
    this.#open.delete(record.callId);
    return usageCall(start, record);
  }

  /**
   * The calls without an end, for an epoch whose process has exited. Their seqs depend only on the records, so two
   * agents that both find the journal give the same call the same seq.
   */
  interrupted(): UsageCall[] {
    return [...this.#open.values()].map((start, index) =>
      usageCall(start, { ...INTERRUPTED_END, seq: this.#lastSeq + 1 + index }),
    );
  }
}

const INTERRUPTED_END = {
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
