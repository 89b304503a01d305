// What the boxes last said, as far as a decision may lean on it: who is up, who has room. Pure: where the words
// come from and how old they may be is fleet-live.ts's concern.
import type { LinkState } from "../../shared/wire.ts";

/** A server by its box's last word. */
export interface ServerState {
  readonly state: LinkState;
  /** Calls that could begin now, and further ones that could wait. */
  readonly free: number;
  readonly places: number;
  /** Calls this isolate sent there since: they count where boxes are compared, never where a call is refused. */
  readonly sent: number;
  /** How long a call that came now would wait, milliseconds; null where it can't be told. */
  readonly waitMs: number | null;
}

export interface BoxState {
  /** It takes no further calls. */
  readonly draining: boolean;
  /** By port; one that isn't here was not announced and counts as down. */
  readonly servers: ReadonlyMap<number, ServerState>;
}

export interface FleetSnapshot {
  /** By name; a box that isn't here is silent, and asked in the fleet file's order. */
  readonly boxes: ReadonlyMap<string, BoxState>;
  /** Whether the words are young enough to refuse a call on them. */
  readonly fresh: boolean;
}

/** Nobody said anything: the link is down, or this is the first call an isolate ever saw. */
export const UNKNOWN_FLEET: FleetSnapshot = { boxes: new Map(), fresh: false };

/**
 * How good a place is for a call, best first. A silent box stands before those that are known to be of no use:
 * losing the link must not stop inference.
 */
export const PLACES = ["free", "queue", "slow", "unknown", "loading", "full", "down", "draining"] as const;
export type Place = (typeof PLACES)[number];

/** What a call of `choices` answers would find at a box's server. */
export function placeAt(live: FleetSnapshot, box: string, port: number, choices: number): Place {
  const known = live.boxes.get(box);
  if (known === undefined) return "unknown";
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
    case "draining":
    case undefined:
      return "down";
  }
}

/** Where a call could begin or wait, as far as anybody knows. */
export function mayServe(place: Place): boolean {
  return place === "free" || place === "queue" || place === "slow" || place === "unknown";
}
