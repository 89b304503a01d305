// Writes the edge's log: JSON lines with ids, codes and our own route patterns. No line has a URL, a header or a part of a
// body: any of them can contain a patient's words.

/** A refused or failed request; failures/refusal-log.ts decides which have a line. */
export interface RefusedLine {
  readonly request_id: string;
  readonly code: string;
  /** The route's pattern, not the requested path. */
  readonly route: string;
  readonly key: string | null;
  readonly cause: string | null;
}

export function logRefused(line: RefusedLine): void {
  console.log(JSON.stringify({ event: "refused", ...line }));
}

/** Requests that were refused without a line of their own, by code, from a time on. */
export interface RefusedCountsLine {
  readonly since: string;
  readonly counts: Readonly<Record<string, number>>;
}

export function logRefusedCounts(line: RefusedCountsLine): void {
  console.log(JSON.stringify({ event: "refused_counts", ...line }));
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
