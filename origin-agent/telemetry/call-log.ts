// Builds the one log line of a call: ids, ports, times and counts. It has no field for a prompt or an answer.
import type { Call } from "../../shared/call-headers.ts";
import { outcomeOf, type CallReport } from "../calls/report.ts";

export function callLog(
  call: Call,
  report: CallReport,
  ms: number,
): Readonly<Record<string, string | number | boolean | null>> {
  const { refusal, counts } = report;
  return {
    event: "call",
    request_id: call.requestId,
    key: call.keyId,
    agent_type: call.agentType,
    wanted_port: call.wantedPort,
    port: report.port,
    stream: call.stream,
    outcome: outcomeOf(report),
    queue_ms: report.queueMs,
    first_byte_ms: report.firstByteMs,
    ms: Math.round(ms),
    prompt_tokens: counts?.promptTokens ?? null,
    completion_tokens: counts === null ? null : counts.completionTokens + report.otherChoiceTokens,
    ...(report.replays === 0 ? {} : { replays: report.replays }),
    ...(report.continuations === 0 ? {} : { continuations: report.continuations }),
    ...(refusal === null ? {} : { code: refusal.code, cause: refusal.internal ?? null }),
  };
}
