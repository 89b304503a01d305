// Reports of the fleet object about each box, which isolates read. They have ages instead of times, so that clocks
// needn't agree.
import { LINK_SILENT_MS } from "./limits.ts";
import type { Snapshot } from "./wire.ts";

/** One process of a box's agent; during a reload two are linked. */
export interface LinkedAgent {
  readonly epoch: string;
  /** The program's version. */
  readonly version: string;
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
  /**
   * An operator drained the box, whether or not an agent is linked or has received the command. Absent if the object
   * is of an older release.
   */
  readonly drained?: boolean;
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
