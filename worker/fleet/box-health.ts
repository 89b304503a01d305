// Reads each box's `/healthz` from its agent and caches the result in the isolate for two seconds.
import { BoxHealth, type ServerState } from "../../shared/health.ts";
import { HEALTH_CACHE_MS, HEALTH_TIMEOUT_MS } from "../../shared/limits.ts";
import type { Box } from "../../shared/fleet.ts";
import type { Settings } from "../env.ts";
import { withTimeout } from "../http/timeout.ts";
import { originFetch } from "./box-fetch.ts";

/** The states of a box's servers by port; null if its agent gave no valid answer. */
export interface BoxView {
  readonly box: Box;
  readonly states: ReadonlyMap<number, ServerState> | null;
}

export type FleetHealth = (settings: Settings) => Promise<readonly BoxView[]>;

/** @param clock milliseconds since 1970. */
export function fleetHealth(boxes: readonly Box[], clock: () => number): FleetHealth {
  let last: { readonly at: number; readonly views: readonly BoxView[] } | null = null;

  return async function refresh(settings) {
    if (last !== null && clock() - last.at < HEALTH_CACHE_MS) return last.views;
    const views = await Promise.all(boxes.map((box) => viewOf(box, settings)));
    last = { at: clock(), views };
    return views;
  };
}

async function viewOf(box: Box, settings: Settings): Promise<BoxView> {
  const answer = await originFetch(box, settings, {
    method: "GET",
    path: "/healthz",
    headers: {},
    timeoutMs: HEALTH_TIMEOUT_MS,
  });
  if (answer.kind !== "answer") return { box, states: null };
  try {
    const parsed = BoxHealth.safeParse(await withTimeout(answer.response.json(), HEALTH_TIMEOUT_MS));
    return {
      box,
      states: parsed.success ? new Map(parsed.data.servers.map(({ port, state }) => [port, state])) : null,
    };
  } catch {
    return { box, states: null };
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
