// Writes the edge's log: JSON lines with ids, codes and our own route patterns. No line has a URL, a header or a part of a
// body: each can contain a patient's words.

type Line =
  /** A refused or failed request; failures/refusal-log.ts decides which have a line. */
  | {
      readonly event: "refused";
      readonly request_id: string;
      readonly code: string;
      /** The route's pattern, not the requested path. */
      readonly route: string;
      readonly key: string | null;
      readonly cause: string | null;
    }
  /** Requests by code that were refused without a line of their own. */
  | {
      readonly event: "refused_counts";
      readonly since: string;
      readonly counts: Readonly<Record<string, number>>;
    }
  /** A setting that works and is dangerous. */
  | { readonly event: "warning"; readonly code: "access_not_set"; readonly boxes: readonly string[] }
  /** A side effect that failed although the request was answered. */
  | {
      readonly event: "trouble";
      readonly request_id: string;
      readonly code: "revocation_not_sent";
      readonly key: string;
    };

export function writeLine(line: Line): void {
  console[line.event === "warning" ? "warn" : "log"](JSON.stringify(line));
}
