// Writes the edge's log: one JSON line for each refused or failed request, with ids, codes and our own route
// patterns. URLs, headers and bodies are never logged: any of them can contain a patient's words. Each logged call
// also goes to the failure store.
import { noteFailure, type RequestContext } from "./failures/buffer.ts";

export interface RefusedLine {
  readonly request_id: string;
  readonly code: string;
  /** The route's pattern, not the requested path. */
  readonly route: string;
  readonly key: string | null;
  readonly cause: string | null;
}

/** Called once for every refused or failed call. */
export function logRefused(context: RequestContext, line: RefusedLine): void {
  console.log(JSON.stringify({ event: "refused", ...line }));
  const { request_id, ...rest } = line;
  noteFailure(context, { requestId: request_id, at: Date.now(), ...rest });
}

/** A setting that works and is dangerous. */
export interface WarningLine {
  readonly code: "access_not_set";
  readonly boxes: readonly string[];
}

/** Called once for each isolate. */
export function logWarning(line: WarningLine): void {
  console.warn(JSON.stringify({ event: "warning", ...line }));
}

/** A side effect that failed although the request was answered. */
export interface TroubleLine {
  readonly request_id: string;
  readonly code: "revocation_not_sent";
  readonly key: string;
}

export function logTrouble(line: TroubleLine): void {
  console.log(JSON.stringify({ event: "trouble", ...line }));
}
