// The fleet snapshot that a decision is based on: which boxes and servers take calls, and how much room they have.
// Pure; where it comes from and how old it may be is decided in snapshot-cache.ts.
import type { LinkState } from "../../shared/wire.ts";

/** A server in its box's latest snapshot. */
export interface ServerSnapshot {
  readonly state: LinkState;
  /** Calls that could start now, and further calls that could be queued. */
  readonly free: number;
  readonly places: number;
  /**
   * Calls that this isolate has sent there since. They matter for comparing boxes, never for refusing a call. Counted in
   * place: copying the fleet for every call would cost more than the call's decision.
   */
  sent: number;
  /** Estimated queue time of a call that arrives now; null if unknown. */
  readonly waitMs: number | null;
}

export interface BoxSnapshot {
  /** It takes no new calls. */
  readonly draining: boolean;
  /** Its report is recent enough to refuse a call. */
  readonly current: boolean;
  /** Some of its servers or its cards are simulated. */
  readonly simulated?: boolean;
  /** By port; a server that is absent was not announced and counts as down. */
  readonly servers: ReadonlyMap<number, ServerSnapshot>;
}

export interface FleetSnapshot {
  /** By name; null for a silent box, absent if it never linked. Both are tried in the fleet file's order. */
  readonly boxes: ReadonlyMap<string, BoxSnapshot | null>;
  /** Whether it was fetched recently enough to refuse a call. */
  readonly fresh: boolean;
}

/** Nothing is known: the link is down, or this is the isolate's first call. */
export const UNKNOWN_FLEET: FleetSnapshot = { boxes: new Map(), fresh: false };

/**
 * How good a place is for a call, best first. A silent box comes before boxes that are known to take no call: losing
 * the link must not stop inference.
 */
export const PLACES = ["free", "queue", "slow", "unknown", "loading", "full", "down", "draining"] as const;
export type Place = (typeof PLACES)[number];

/** What a call that needs `choices` slots would find at a box's server. */
export function placeAt(snapshot: FleetSnapshot, box: string, port: number, choices: number): Place {
  const known = snapshot.boxes.get(box);
  if (known == null) return "unknown";
  if (known.draining) return "draining";
  const server = known.servers.get(port);
  switch (server?.state) {
    case "ready":
    case "slow": {
      const hasRoom = server.free >= choices || server.places > 0;
      if (!hasRoom) return "full";
      if (server.state === "slow") return "slow";
      return server.free - server.sent >= choices ? "free" : "queue";
    }
    case "loading":
      return "loading";
    case "down":
    case "stalled":
    case undefined:
      return "down";
  }
}

/** Whether a call could start or be queued there, as far as is known. */
export function mayServe(place: Place): boolean {
  return place === "free" || place === "queue" || place === "slow" || place === "unknown";
}
