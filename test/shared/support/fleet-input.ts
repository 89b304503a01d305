// A fleet file that is right, as another operator would write one: other ports, models and agent types than
// the shipped file's. Tests break one thing of it at a time.
import type { FleetInput } from "../../../shared/fleet.ts";

type BoxInput = FleetInput["boxes"][number];
type ServerInput = BoxInput["servers"][number];

/** Two servers of one model (a replica each of the other) and one of another, on a 16 GiB card. */
export function fleetInput(): FleetInput {
  return {
    domain: "models.example.org",
    defaultPort: 9103,
    modelRouter: [9103, 9101],
    cors: { v1: ["https://app.example.org"] },
    limits: { perAddressPerSecond: 50, perKeyPerSecond: 200 },
    legacy: { keys: [], anonymous: null },
    boxes: [boxInput("north")],
  };
}

export function boxInput(name: string): BoxInput {
  return {
    name,
    origin: `https://${name}.example.org`,
    gpu: "NVIDIA L4",
    vramGib: 16,
    llamaServerBin: "/opt/llama/llama-server",
    modelsDir: "/opt/models",
    user: "models",
    locationHint: "weur",
    servers: [
      serverInput({ port: 9101, model: "Heron-3B", agents: ["Radiology", "Pathology"] }),
      serverInput({ port: 9102, model: "Heron-3B", agents: ["Radiology"] }),
      serverInput({ port: 9103, model: "Wren-1B", agents: [] }),
    ],
  };
}

export function serverInput(
  wanted: Pick<ServerInput, "port" | "model" | "agents"> & Partial<ServerInput>,
): ServerInput {
  return {
    pm2: `llama-${wanted.port}`,
    file: `${wanted.model}.gguf`,
    weightsGib: 2,
    slots: 2,
    contextPerSlot: 2048,
    maxTokens: 512,
    kvType: "f16",
    kvKibPerToken: 64,
    ubatch: 256,
    capabilities: ["chat"],
    description: "A model of the tests.",
    bestFor: "tests",
    ...wanted,
  };
}
