// Sample calls for the journal's tests.
import type { CallEnd, CallStart } from "../../../shared/usage.ts";

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
