// What `/healthz` says of the box: its servers' states as they are known, in the three words the edge reads.
import type { BoxHealth, ServerState } from "../../shared/health.ts";
import type { HealthState } from "../health/cause.ts";
import type { LiveServer } from "../servers/server.ts";

/** @param held an operator drained the box: none of its servers takes a call */
export function boxHealth(
  box: string,
  version: string,
  servers: ReadonlyMap<number, LiveServer>,
  held: boolean,
): BoxHealth {
  return {
    box,
    version,
    servers: [...servers.values()].map((server) => ({
      port: server.port,
      model: server.upstream.server.model,
      // Nothing can be sent to a server that doesn't say what slots it has.
      state: held || (server.slots.total === 0 && server.view().usable) ? "down" : WORDS[server.view().state],
    })),
  };
}

/** A slow server takes calls; one that stalls or is drained takes none. */
const WORDS: Readonly<Record<HealthState, ServerState>> = {
  ready: "ready",
  slow: "ready",
  loading: "loading",
  down: "down",
  stalled: "down",
  draining: "down",
};
