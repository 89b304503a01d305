// What the log says of the link, once a change: that it is there, or why it isn't and what would mend that.
import type { Logger } from "pino";
import { LINK_CLOSE } from "../../shared/wire.ts";
import { isRefusal, type LinkEnd } from "./state-machine.ts";

/** What to do about an edge that answers and won't have this box. */
const ADVICE: Readonly<Record<number, string>> = {
  400: "the edge's fleet file has no such box: deploy the edge with this one, or mend ISHA_BOX",
  401: "BOX_SECRET isn't the edge's: set both to the same value",
  403: "BOX_SECRET isn't the edge's, or Cloudflare Access stands before the link: let /_agent/link pass",
  404: "what answers there has no link: mend EDGE_URL, or deploy a newer edge",
};

/** Why an edge ended a link, by the code it gave. */
const CLOSED: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(LINK_CLOSE).map(([why, code]) => [code, why]),
);

export function linkLog(log: Pick<Logger, "info" | "warn" | "error">, end: LinkEnd | null): void {
  if (end === null) return log.info({ event: "link", state: "open" });
  switch (end.kind) {
    case "unreachable":
      return log.warn({ event: "link", state: "lost", why: "unreachable", cause: end.cause || null });
    case "silent":
      return log.warn({ event: "link", state: "lost", why: "silent" });
    case "closed":
      return log.warn({ event: "link", state: "lost", why: CLOSED[end.code] ?? "closed", code: end.code });
    case "refused": {
      const line = { event: "link", state: "refused", status: end.status };
      if (isRefusal(end))
        return log.error({ ...line, advice: ADVICE[end.status] ?? "look into the edge's log" });
      return log.warn(line);
    }
  }
}
