// The edge's log: one JSON line for each request that was refused or failed, with ids, codes and our own
// route patterns. No URL, no header, no body: any of them can hold a patient's words.

export interface RefusedLine {
  readonly request_id: string;
  readonly code: string;
  /** The route's pattern, not the path that was asked for. */
  readonly route: string;
  readonly key: string | null;
  readonly cause: string | null;
}

export function logRefused(line: RefusedLine): void {
  console.log(JSON.stringify({ event: "refused", ...line }));
}
