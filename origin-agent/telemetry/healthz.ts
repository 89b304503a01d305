// Builds the `/healthz` answer: each server's last known state, as one of the three states that the edge reads.
import type { BoxHealth, ServerState } from "../../shared/health.ts";
import type { HealthState } from "../health/cause.ts";
import type { LiveServer } from "../servers/server.ts";

/** @param drained whether an operator has drained the box: then no server accepts calls */
export function boxHealth(
  box: string,
  version: string,
  servers: ReadonlyMap<number, LiveServer>,
  drained: boolean,
): BoxHealth {
  return {
    box,
    version,
    servers: [...servers.values()].map((server) => ({
      port: server.port,
      model: server.upstream.server.model,
      // No call can be sent to a server that hasn't reported its slots.
      state:
        drained || (server.slots.total === 0 && server.view().usable)
          ? "down"
          : EDGE_STATES[server.view().state],
    })),
  };
}

/** A slow server accepts calls; a stalled one doesn't. */
const EDGE_STATES: Readonly<Record<HealthState, ServerState>> = {
  ready: "ready",
  slow: "ready",
  loading: "loading",
  down: "down",
  stalled: "down",
};
