// What the agents last said over their links, as the fleet object tells it to isolates. By ages, not by times, so
// that no two clocks need agree.
import { LINK_SILENT_MS } from "./limits.ts";
import type { Snapshot } from "./wire.ts";

/** One process of a box's agent: two are linked during a reload. */
export interface LinkedAgent {
  readonly epoch: string;
  /** The program's. */
  readonly version: string;
  readonly linkedForMs: number;
  /** Since it said anything, its pings included. */
  readonly lastSeenAgoMs: number;
  /** It said `bye`: it finishes what runs and goes. */
  readonly leaving: boolean;
  /** Ports it announced; any other counts as down. */
  readonly ports: readonly number[];
  /** What each of those serves, in the same order; empty where it wasn't kept. */
  readonly models: readonly string[];
  /** What it differs in from the edge: another fleet file, a clock far off; null for nothing. */
  readonly warning: string | null;
  /** Null before the first. */
  readonly snapshot: Snapshot | null;
  readonly snapshotAgoMs: number | null;
}

export interface BoxReport {
  readonly box: string;
  readonly lastSeenAgoMs: number;
  /** The version that spoke last. */
  readonly version: string;
  /**
   * An operator drained it, which holds for an agent too that hasn't heard of it yet, or isn't linked. An object of the
   * release before doesn't say.
   */
  readonly held?: boolean;
  /** Those that are linked now, the newest first. */
  readonly agents: readonly LinkedAgent[];
}

/** An agent that said how its box is, and isn't silent. */
export interface Speaking {
  readonly agent: LinkedAgent;
  readonly snapshot: Snapshot;
  /** It goes on taking calls. */
  readonly takesCalls: boolean;
}

/** A box's agents that speak, the newest first: during a reload both have calls. */
export function speakingOf({ agents }: Pick<BoxReport, "agents">): Speaking[] {
  return agents.flatMap((agent) => {
    const { snapshot, lastSeenAgoMs, leaving } = agent;
    if (snapshot === null || lastSeenAgoMs >= LINK_SILENT_MS) return [];
    return [{ agent, snapshot, takesCalls: !leaving && !snapshot.draining }];
  });
}

/** Whose word counts for a box: the one that takes calls, whichever began first, else the newest; null where none speaks. */
export function speakerOf(report: Pick<BoxReport, "agents">): Speaking | null {
  const speaking = speakingOf(report);
  return speaking.find(({ takesCalls }) => takesCalls) ?? speaking[0] ?? null;
}
