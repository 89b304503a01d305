// What a server's or a box's state is called, and how much it should worry: words first, colour second.
import type { FleetBoxView, FleetServerView } from "../../shared/fleet-view.ts";

/** `quiet` is nothing to act on and nothing to be glad of. */
export type Level = "good" | "warn" | "bad" | "quiet";

export interface StateText {
  readonly level: Level;
  readonly word: string;
  /** What the state means, where its word alone doesn't tell. */
  readonly meaning: string;
}

export const SERVER_WORDS: Readonly<Record<FleetServerView["state"], StateText>> = {
  ready: { level: "good", word: "ready", meaning: "takes calls" },
  slow: { level: "warn", word: "slow", meaning: "takes calls, slower than it used to" },
  loading: { level: "warn", word: "loading", meaning: "loads its weights" },
  stalled: { level: "bad", word: "stalled", meaning: "decodes nothing" },
  down: { level: "bad", word: "down", meaning: "nothing listens on its port" },
  draining: { level: "quiet", word: "draining", meaning: "takes no further calls" },
  unknown: { level: "quiet", word: "unknown", meaning: "its box says nothing of it" },
};

export const BOX_WORDS: Readonly<Record<FleetBoxView["state"], StateText>> = {
  up: { level: "good", word: "up", meaning: "its agent is linked" },
  draining: { level: "warn", word: "draining", meaning: "takes no further calls; those that run go on" },
  silent: { level: "bad", word: "silent", meaning: "its agent says nothing" },
};

/** Whether calls can go there now. */
export function takesCalls(server: FleetServerView): boolean {
  return server.state === "ready" || server.state === "slow";
}

const WORST_FIRST: readonly Level[] = ["bad", "warn", "quiet", "good"];

/** For sorting: the worst first. */
export function byLevel(a: { readonly level: Level }, b: { readonly level: Level }): number {
  return WORST_FIRST.indexOf(a.level) - WORST_FIRST.indexOf(b.level);
}
