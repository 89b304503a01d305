// Which failures the edge can't know of: those that came when their answer's headers had gone out. The edge passes a
// stream on unread, so its box has to tell it. Pure.
import { DIALECT_PATHS, type Call } from "../../shared/call-headers.ts";
import { JSON_HEADERS_AFTER_MS, STREAM_HEADERS_AFTER_MS } from "../../shared/limits.ts";
import { isRecordName } from "../../shared/usage.ts";
import type { FailedCall } from "../../shared/wire.ts";
import type { CallReport } from "./report.ts";

/** A timer may fire so much early, milliseconds: told twice is told once. */
const EARLY_MS = 250;

/** @param ms from the call's arrival to its end */
export function lateFailure(
  call: Pick<Call, "requestId" | "keyId" | "stream" | "dialect">,
  { outcome, refusal, firstByteMs, port }: Pick<CallReport, "outcome" | "refusal" | "firstByteMs" | "port">,
  ms: number,
): Omit<FailedCall, "agoMs"> | null {
  if (outcome === "left" || refusal === null) return null;
  const headersAfterMs = call.stream ? STREAM_HEADERS_AFTER_MS : JSON_HEADERS_AFTER_MS;
  const hadBegun = ms >= headersAfterMs - EARLY_MS || (call.stream && firstByteMs !== null);
  const { requestId, keyId } = call;
  if (!hadBegun || !isRecordName(requestId) || !isRecordName(keyId)) return null;
  return { requestId, keyId, code: refusal.code, route: DIALECT_PATHS[call.dialect], port };
}
