// Logs each change of the link: that it is open, or why it isn't and how to fix that.
import type { Logger } from "pino";
import { LINK_CLOSE } from "../../shared/wire.ts";
import { isRefusal, type LinkEnd } from "./state-machine.ts";

/** What to do if the edge refuses this box, by status. */
const ADVICE: Readonly<Record<number, string>> = {
  400: "the edge's fleet file has no such box: deploy the edge with this fleet file, or correct ISHA_BOX",
  401: "BOX_SECRET differs from the edge's: set both to the same value",
  403: "BOX_SECRET differs from the edge's, or Cloudflare Access blocks the link: exempt /_agent/link",
  404: "EDGE_URL has no link endpoint: correct EDGE_URL, or deploy a newer edge",
};

/** Reasons for which the edge closes a link, by close code. */
const CLOSE_REASONS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(LINK_CLOSE).map(([reason, code]) => [code, reason]),
);

export function logLink(log: Pick<Logger, "info" | "warn" | "error">, end: LinkEnd | null): void {
  if (end === null) return log.info({ event: "link", state: "open" });
  switch (end.kind) {
    case "unreachable":
      return log.warn({ event: "link", state: "lost", reason: "unreachable", cause: end.cause || null });
    case "silent":
      return log.warn({ event: "link", state: "lost", reason: "silent" });
    case "closed":
      return log.warn({
        event: "link",
        state: "lost",
        reason: CLOSE_REASONS[end.code] ?? "closed",
        code: end.code,
      });
    case "refused": {
      const line = { event: "link", state: "refused", status: end.status };
      if (isRefusal(end)) return log.error({ ...line, advice: ADVICE[end.status] ?? "see the edge's log" });
      return log.warn(line);
    }
  }
}
