// Builds the reports that the fleet object returns to isolates, from the linked agents' sessions and the boxes that
// were seen before. Pure.
import { activeAgents, type BoxReport, type LinkedAgent } from "../../../shared/box-report.ts";
import { LINK_SILENT_MS } from "../../../shared/limits.ts";
import { newestFirst, type Session } from "./sessions.ts";
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
      .toSorted((a, b) => newestFirst(a.session, b.session));
    const linked = withDuplicates(agents.map((agent) => linkedAgent(agent, now)));
    const lastSeenAt = Math.max(seenAt, ...agents.map((agent) => agent.lastSeenAt));
    return {
      box,
      lastSeenAgoMs: ago(lastSeenAt, now),
      version,
      drained: drained === 1,
      agents: linked,
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

/**
 * Adds a warning to the agents of a box that take calls at the same time. During a reload the older one drains within a
 * second; two that stay are a process that was left running, or a second machine with this box's name.
 */
function withDuplicates(agents: readonly LinkedAgent[]): LinkedAgent[] {
  const both = activeAgents({ agents })
    .filter(({ agent, takesCalls }) => takesCalls && agent.linkedForMs >= LINK_SILENT_MS)
    .map(({ agent }) => agent);
  if (both.length < 2) return [...agents];
  const epochs = both.map(({ epoch }) => epoch).join(", ");
  const text = `${both.length} agents with this box's name take calls at the same time (${epochs}): stop the one that shouldn't run, or correct its ISHA_BOX`;
  return agents.map((agent) =>
    both.includes(agent)
      ? { ...agent, warning: agent.warning === null ? text : `${agent.warning}; ${text}` }
      : agent,
  );
}

/** Never negative, even if the clock was set back. */
const ago = (at: number, now: number): number => Math.max(0, now - at);
