// What the fleet object tells isolates of its boxes, from the sessions there are and the boxes that were heard
// before. Pure.
import type { BoxReport, LinkedAgent } from "../../../shared/box-report.ts";
import type { Session } from "./sessions.ts";
import type { BoxRow } from "./link-store.ts";

export interface Linked {
  readonly session: Session;
  /** When it last said anything, its pings included. */
  readonly lastSeenAt: number;
}

export function boxReports(linked: readonly Linked[], known: readonly BoxRow[], now: number): BoxReport[] {
  return known.map(({ box, heard_at, version, held }) => {
    const agents = linked
      .filter(({ session }) => session.box === box && session.hello !== null)
      .toSorted((a, b) => b.session.linkedAt - a.session.linkedAt);
    const lastSeenAt = Math.max(heard_at, ...agents.map((agent) => agent.lastSeenAt));
    return {
      box,
      lastSeenAgoMs: ago(lastSeenAt, now),
      version,
      held: held === 1,
      agents: agents.map((agent) => view(agent, now)),
    };
  });
}

function view({ session, lastSeenAt }: Linked, now: number): LinkedAgent {
  return {
    epoch: session.hello?.epoch ?? "",
    version: session.hello?.version ?? "",
    linkedForMs: ago(session.linkedAt, now),
    lastSeenAgoMs: ago(lastSeenAt, now),
    leaving: session.leaving,
    ports: session.hello?.servers.map(({ port }) => port) ?? [],
    models: session.hello?.servers.map(({ model }) => model) ?? [],
    warning: session.warning,
    snapshot: session.snapshot,
    snapshotAgoMs: session.snapshot === null ? null : ago(session.snapshotAt, now),
  };
}

/** A clock that was set back makes nothing older than now. */
const ago = (at: number, now: number): number => Math.max(0, now - at);
