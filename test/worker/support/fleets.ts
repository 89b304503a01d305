// Small fleets for tests. They share no name with the shipped file, since no code may depend on its names.
import { defineFleet, type FleetConfig, type FleetInput } from "../../../shared/fleet.ts";

type BoxInput = FleetInput["boxes"][number];
export type ServerInput = BoxInput["servers"][number];

/** A chat server with four slots and up to 500 tokens per answer. */
export function server(port: number, more: Partial<ServerInput> = {}): ServerInput {
  return {
    port,
    pm2: `llama-${port}`,
    model: `Model-${port}`,
    file: `model-${port}.gguf`,
    weightsGib: 1,
    slots: 4,
    contextPerSlot: 2048,
    maxTokens: 500,
    kvType: "q8_0",
    kvKibPerToken: 64,
    ubatch: 128,
    agents: [],
    capabilities: ["chat"],
    description: `The model on ${port}.`,
    bestFor: `work for ${port}`,
    ...more,
  };
}

export function box(name: string, servers: BoxInput["servers"]): BoxInput {
  return {
    name,
    origin: `https://${name}.example`,
    gpu: "a card",
    vramGib: 80,
    llamaServerBin: "/bin/llama-server",
    modelsDir: "/models",
    user: "operator",
    locationHint: "weur",
    servers,
  };
}

/** One box `north`: a default on 9000, and one server each for Alpha and Beta. */
export function fleetOf(more: Partial<FleetInput> = {}): FleetConfig {
  return defineFleet({
    domain: "edge.example",
    defaultPort: 9000,
    modelRouter: [],
    cors: { v1: "*" },
    limits: { perAddressPerSecond: 1000, perKeyPerSecond: 1000 },
    legacy: { keys: [], anonymous: null },
    boxes: [
      box("north", [server(9000), server(9001, { agents: ["Alpha"] }), server(9002, { agents: ["Beta"] })]),
    ],
    ...more,
  });
}

/** The fleet of `fleetOf` with two equal boxes, `north` before `south`. */
export function twoBoxes(more: Partial<FleetInput> = {}): FleetConfig {
  const servers = [server(9000), server(9001, { agents: ["Alpha"] })];
  return fleetOf({ boxes: [box("north", servers), box("south", servers)], ...more });
}
