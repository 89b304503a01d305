// The reports about each box that the fleet object returns to isolates: built from the linked agents' sessions and the
// boxes that were seen before. They have ages instead of times, so that clocks needn't agree. Pure.
import type { Failure } from "../../../shared/failures.ts";
import type { FailureGroup, FleetAlarm, FleetEvent } from "../../../shared/fleet-view.ts";
import { LINK_SILENT_MS } from "../../../shared/limits.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import { newestFirst, type Session } from "./sessions.ts";
import type { BoxRow } from "./link-store.ts";

/** One process of a box's agent; during a reload two are linked. */
export interface LinkedAgent {
  readonly epoch: string;
  /** The program's version. */
  readonly version: string;
  /** The hash of its fleet file; null if it linked to a release that didn't keep it. */
  readonly fleetHash?: string | null;
  readonly linkedForMs: number;
  /** Age of the last frame or ping. */
  readonly lastSeenAgoMs: number;
  /** It sent `bye`: it finishes running calls and exits. */
  readonly leaving: boolean;
  /** The ports it announced; any other port counts as down. */
  readonly ports: readonly number[];
  /** The model on each of those ports, in the same order; empty if it wasn't stored. */
  readonly models: readonly string[];
  /** How it differs from the edge (another fleet file, a wrong clock); null if it doesn't. */
  readonly warning: string | null;
  /** Null before the first snapshot. */
  readonly snapshot: Snapshot | null;
  readonly snapshotAgoMs: number | null;
}

export interface BoxReport {
  readonly box: string;
  readonly lastSeenAgoMs: number;
  /** The version of the agent that was seen last. */
  readonly version: string;
  /** An operator drained the box, whether or not an agent is linked or has received the command. */
  readonly drained: boolean;
  /** When, in milliseconds since 1970; null if it isn't drained, absent from an object of an earlier release. */
  readonly drainedAt?: number | null;
  /** The agents that are linked now, newest first. */
  readonly agents: readonly LinkedAgent[];
}

/** An agent that has sent a snapshot and isn't silent. */
export interface ActiveAgent {
  readonly agent: LinkedAgent;
  readonly snapshot: Snapshot;
  readonly takesCalls: boolean;
}

/** A box's active agents, newest first; during a reload both have calls. */
export function activeAgents({ agents }: Pick<BoxReport, "agents">): ActiveAgent[] {
  return agents.flatMap((agent) => {
    const { snapshot, lastSeenAgoMs, leaving } = agent;
    if (snapshot === null || lastSeenAgoMs >= LINK_SILENT_MS) return [];
    return [{ agent, snapshot, takesCalls: !leaving && !snapshot.draining }];
  });
}

/** The agent whose snapshot describes the box: one that takes calls, else the newest; null if none is active. */
export function reportingAgent(report: Pick<BoxReport, "agents">): ActiveAgent | null {
  const active = activeAgents(report);
  return active.find(({ takesCalls }) => takesCalls) ?? active[0] ?? null;
}

/** What the fleet object returns for the operators' view. */
export interface FleetState {
  readonly reports: readonly BoxReport[];
  /** When each server entered its state, in milliseconds since 1970, by box and port. */
  readonly since: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly events: readonly FleetEvent[];
  readonly alarms: readonly FleetAlarm[];
  readonly failures: readonly Failure[];
  /** Refusals and failures of the last five minutes at the edge. */
  readonly byCode: readonly { readonly code: string; readonly count: number }[];
  /**
   * The newest of `failures` and of those that came before them, if they aren't the callers' fault. This and `groups`
   * are absent from an object of an earlier release.
   */
  readonly ours?: readonly Failure[];
  /** Refusals and failures of the last hour at the edge, the most frequent first. */
  readonly groups?: readonly FailureGroup[];
}

export interface Link {
  readonly session: Session;
  /** Time of its last frame or ping. */
  readonly lastSeenAt: number;
}

export function boxReports(links: readonly Link[], known: readonly BoxRow[], now: number): BoxReport[] {
  return known.map(({ box, seenAt, version, drained, drainedAt }) => {
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
      drainedAt: drained === 1 ? drainedAt : null,
      agents: linked,
    };
  });
}

function linkedAgent({ session, lastSeenAt }: Link, now: number): LinkedAgent {
  return {
    epoch: session.hello?.epoch ?? "",
    version: session.hello?.version ?? "",
    fleetHash: session.hello?.fleetHash ?? null,
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
