// Labels and severity of server and box states; text first, colour second.
import type { FleetBoxView, FleetServerView } from "../../shared/fleet-view.ts";

/** `quiet` needs no action and is no success. */
export type Level = "good" | "warn" | "bad" | "quiet";

export interface StateText {
  readonly level: Level;
  readonly label: string;
  /** An explanation of the label; may be empty. */
  readonly meaning: string;
}

export const SERVER_STATE_TEXT: Readonly<Record<FleetServerView["state"], StateText>> = {
  ready: { level: "good", label: "ready", meaning: "takes calls" },
  slow: { level: "warn", label: "slow", meaning: "takes calls, but slower than before" },
  loading: { level: "warn", label: "loading", meaning: "loads its weights" },
  stalled: { level: "bad", label: "stalled", meaning: "produces no tokens" },
  down: { level: "bad", label: "down", meaning: "nothing listens on its port" },
  unknown: { level: "quiet", label: "unknown", meaning: "its box doesn't report it" },
};

export const BOX_STATE_TEXT: Readonly<Record<FleetBoxView["state"], StateText>> = {
  up: { level: "good", label: "up", meaning: "its agent is linked" },
  draining: { level: "warn", label: "draining", meaning: "takes no new calls; running calls finish" },
  silent: { level: "bad", label: "silent", meaning: "its agent doesn't report" },
};

const DRAINED: StateText = {
  ...BOX_STATE_TEXT.draining,
  label: "drained",
  meaning: "takes no calls, and none runs",
};

/** A draining box without calls is drained. */
export function boxState({ state, servers }: Pick<FleetBoxView, "state" | "servers">): StateText {
  return state === "draining" && servers.every(({ busy }) => busy === 0) ? DRAINED : BOX_STATE_TEXT[state];
}

/** Whether calls can go to it now. */
export function takesCalls(server: FleetServerView): boolean {
  return server.state === "ready" || server.state === "slow";
}

const WORST_FIRST: readonly Level[] = ["bad", "warn", "quiet", "good"];

/** For sorting: the worst first. */
export function byLevel(a: { readonly level: Level }, b: { readonly level: Level }): number {
  return WORST_FIRST.indexOf(a.level) - WORST_FIRST.indexOf(b.level);
}
