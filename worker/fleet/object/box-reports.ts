// Builds the reports that the fleet object returns to isolates, from the linked agents' sessions and the boxes that
// were seen before. Pure.
import type { BoxReport, LinkedAgent } from "../../../shared/box-report.ts";
import type { Session } from "./sessions.ts";
import type { BoxRow } from "./link-store.ts";

export interface Link {
  readonly session: Session;
  /** Time of its last frame or ping. */
  readonly lastSeenAt: number;
}

export function boxReports(links: readonly Link[], known: readonly BoxRow[], now: number): BoxReport[] {
  return known.map(({ box, seenAt, version, drained }) => {
    const agents = links
      .filter(({ session }) => session.box === box && session.hello !== null)
      .toSorted((a, b) => b.session.linkedAt - a.session.linkedAt);
    const lastSeenAt = Math.max(seenAt, ...agents.map((agent) => agent.lastSeenAt));
    return {
      box,
      lastSeenAgoMs: ago(lastSeenAt, now),
      version,
      drained: drained === 1,
      agents: agents.map((agent) => linkedAgent(agent, now)),
    };
  });
}

function linkedAgent({ session, lastSeenAt }: Link, now: number): LinkedAgent {
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

/** Never negative, even if the clock was set back. */
const ago = (at: number, now: number): number => Math.max(0, now - at);
