// Indexes the fleet file for lookups: built once in an isolate, read by every decision.
import type { Box, FleetConfig, Server } from "../../shared/fleet.ts";

export interface FleetIndex {
  readonly fleet: FleetConfig;
  /** The server on a port; the first box's if several boxes have that port. */
  readonly byPort: ReadonlyMap<number, Server>;
  /** By agent type in lower case. */
  readonly byAgent: ReadonlyMap<string, { readonly name: string; readonly server: Server }>;
  /** The servers of a model, by model id or file name in lower case; one for each port. */
  readonly byModel: ReadonlyMap<string, readonly Server[]>;
  readonly defaultServer: Server;
  /** Ports to which a call may fall back, in order. */
  readonly routerPorts: ReadonlySet<number>;
  readonly boxes: readonly Box[];
}

export function indexFleet(fleet: FleetConfig): FleetIndex {
  const byPort = new Map<number, Server>();
  const byAgent = new Map<string, { name: string; server: Server }>();
  const byModel = new Map<string, Server[]>();
  for (const server of fleet.boxes.flatMap((box) => box.servers)) {
    if (!byPort.has(server.port)) {
      for (const name of new Set([server.model.toLowerCase(), server.file.toLowerCase()])) {
        byModel.set(name, [...(byModel.get(name) ?? []), server]);
      }
      byPort.set(server.port, server);
    }
    for (const name of server.agents) {
      if (!byAgent.has(name.toLowerCase())) byAgent.set(name.toLowerCase(), { name, server });
    }
  }
  const defaultServer = byPort.get(fleet.defaultPort);
  if (defaultServer === undefined) throw new Error("a fleet that defineFleet accepted has no default server");
  const routerPorts = new Set([...fleet.modelRouter, fleet.defaultPort]);
  return { fleet, byPort, byAgent, byModel, defaultServer, routerPorts, boxes: fleet.boxes };
}
