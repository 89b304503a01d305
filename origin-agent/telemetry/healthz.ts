// Builds the `/healthz` answer: each server's last known state, as one of the three states that the edge reads.
import { SERVER_STATES, type BoxHealth } from "../../shared/health.ts";
import type { LiveServer } from "../servers/server.ts";

/** @param drained whether an operator has drained the box: then no server accepts calls */
export function boxHealth(
  { simulated = false, ...agent }: { box: string; version: string; simulated?: boolean | undefined },
  servers: ReadonlyMap<number, LiveServer>,
  drained: boolean,
): BoxHealth {
  return {
    ...agent,
    ...(simulated ? { simulated } : {}),
    servers: [...servers.values()].map((server) => ({
      port: server.port,
      model: server.upstream.server.model,
      // No call can be sent to a server that hasn't reported its slots.
      state:
        drained || (server.slots.total === 0 && server.view().usable)
          ? "down"
          : SERVER_STATES[server.view().state],
    })),
  };
}
