// States of the boxes' servers for /healthz and /v1/models: from the fleet snapshot, whatever the number of callers. A box
// that never linked is polled, once for all callers of three seconds.
import type { Context } from "hono";
import { BoxHealth, SERVER_STATES, type ServerState } from "../../shared/health.ts";
import { HEALTH_POLL_MS } from "../../shared/limits.ts";
import type { Box } from "../../shared/fleet.ts";
import type { EdgeEnv } from "../context.ts";
import { withTimeout } from "../http/timeout.ts";
import { originFetch } from "./box-fetch.ts";
import type { BoxSnapshot } from "./snapshot.ts";
import { readSnapshot, type SnapshotCache } from "./snapshot-cache.ts";

/** By port; a server that is absent is down. Null if the box is silent, or gave no valid answer. */
type States = ReadonlyMap<number, ServerState> | null;

export interface BoxView {
  readonly box: Box;
  /** It takes no new calls: an operator drained it, or its agent shuts down. */
  readonly draining?: boolean;
  readonly states: States;
  /** Some of its servers or its cards are simulated. */
  readonly simulated?: boolean;
}

type Polled = Pick<BoxView, "states" | "simulated">;

export type FleetHealth = (c: Context<EdgeEnv>) => Promise<readonly BoxView[]>;

/** @param clock milliseconds since 1970. */
export function fleetHealth(
  boxes: readonly Box[],
  snapshots: SnapshotCache,
  clock: () => number,
): FleetHealth {
  const polls = new Map<string, { readonly at: number; readonly view: Promise<Polled> }>();

  async function poll(c: Context<EdgeEnv>, box: Box): Promise<Polled> {
    const now = clock();
    let last = polls.get(box.name);
    if (last === undefined || now < last.at || now >= last.at + HEALTH_POLL_MS) {
      last = { at: now, view: polledView(c, box) };
      polls.set(box.name, last);
      // It continues if this caller disconnects.
      c.executionCtx.waitUntil(last.view);
    }
    return (await withTimeout(last.view, HEALTH_POLL_MS)) ?? { states: null };
  }

  return async function viewBoxes(c) {
    const snapshot = await readSnapshot(c, snapshots);
    return Promise.all(
      boxes.map(async (box) => {
        const known = snapshot.boxes.get(box.name);
        if (known === undefined) return { box, ...(await poll(c, box)) };
        if (known === null) return { box, states: null };
        const { draining, simulated } = known;
        return { box, draining, states: statesOf(known), simulated: simulated === true };
      }),
    );
  };
}

/** No server of a draining box takes a call. */
function statesOf({ draining, servers }: BoxSnapshot): States {
  return new Map(draining ? [] : [...servers].map(([port, { state }]) => [port, SERVER_STATES[state]]));
}

/** Never rejects. */
async function polledView(c: Context<EdgeEnv>, box: Box): Promise<Polled> {
  const request = { method: "GET", path: "/healthz", headers: {}, timeoutMs: HEALTH_POLL_MS } as const;
  const answer = await originFetch(box, c.get("settings"), request);
  if (answer.kind !== "answer") return { states: null };
  try {
    const { servers, simulated = false } = BoxHealth.parse(await answer.response.json());
    return { states: new Map(servers.map(({ port, state }) => [port, state])), simulated };
  } catch {
    return { states: null };
  }
}

/** The best state among the matching servers of all boxes; `down` if none matches. */
export function bestState(
  views: readonly BoxView[],
  matches: (server: Box["servers"][number]) => boolean,
): ServerState {
  const states = views.flatMap(({ box, states }) =>
    box.servers.filter(matches).map((server) => states?.get(server.port) ?? "down"),
  );
  if (states.includes("ready")) return "ready";
  return states.includes("loading") ? "loading" : "down";
}
