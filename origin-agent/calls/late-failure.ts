// Finds the failures that the edge can't see: those that happen after the answer's headers were sent. The edge passes
// streams on unread, so the box has to report these failures. Pure.
import type { Call } from "../../shared/call-headers.ts";
import { DIALECTS } from "../../shared/dialects.ts";
import { JSON_HEADERS_AFTER_MS, STREAM_HEADERS_AFTER_MS } from "../../shared/limits.ts";
import { isRecordName } from "../../shared/usage.ts";
import type { FailedCall } from "../../shared/wire.ts";
import type { CallReport } from "./report.ts";

/** A timer may fire this much early. A failure that both sides report is stored once. */
const EARLY_MS = 250;

/** @param ms the time from the call's arrival to its end */
export function lateFailure(
  call: Pick<Call, "requestId" | "keyId" | "agentType" | "stream" | "dialect">,
  { outcome, refusal, firstByteMs, port }: Pick<CallReport, "outcome" | "refusal" | "firstByteMs" | "port">,
  ms: number,
): Omit<FailedCall, "agoMs"> | null {
  if (outcome === "left" || refusal === null) return null;
  const headersAfterMs = call.stream ? STREAM_HEADERS_AFTER_MS : JSON_HEADERS_AFTER_MS;
  const headersSent = ms >= headersAfterMs - EARLY_MS || (call.stream && firstByteMs !== null);
  const { requestId, keyId, agentType } = call;
  if (!headersSent || !isRecordName(requestId) || !isRecordName(keyId)) return null;
  return {
    requestId,
    keyId,
    code: refusal.code,
    route: DIALECTS[call.dialect].path,
    port,
    ...(isRecordName(agentType) ? { agentType } : {}),
  };
}
