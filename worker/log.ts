// The edge's log: one JSON line for each request that was refused or failed, with ids, codes and our own
// route patterns. No URL, no header, no body: any of them can hold a patient's words. What is logged of a call goes
// to the store of failures too.
import { noteFailure, type Asked } from "./failures/failure-log.ts";

export interface RefusedLine {
  readonly request_id: string;
  readonly code: string;
  /** The route's pattern, not the path that was asked for. */
  readonly route: string;
  readonly key: string | null;
  readonly cause: string | null;
}

/** Every refused or failed call passes here, once. */
export function logRefused(asked: Asked, line: RefusedLine): void {
  console.log(JSON.stringify({ event: "refused", ...line }));
  const { request_id, ...rest } = line;
  noteFailure(asked, { requestId: request_id, at: Date.now(), ...rest });
}

/** Something that failed beside an answer that stands. */
export interface TroubleLine {
  readonly request_id: string;
  readonly code: "revocation_not_told";
  readonly key: string;
}

export function logTrouble(line: TroubleLine): void {
  console.log(JSON.stringify({ event: "trouble", ...line }));
}
