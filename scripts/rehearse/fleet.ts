// The fleet file of the rehearsal: one box with three servers on free ports. Pure.

export const BOX = "box1";

export interface Ports {
  readonly agent: number;
  readonly edge: number;
  /** In the fleet file's order. */
  readonly servers: readonly number[];
}

export interface Model {
  readonly pm2: string;
  readonly file: string;
  readonly weightsGib: number;
  readonly agents: readonly string[];
}

export const MODELS: readonly Model[] = [
  { pm2: "llama-small", file: "small.gguf", weightsGib: 1.1, agents: [] },
  { pm2: "llama-clinic", file: "clinic-8b.gguf", weightsGib: 6.1, agents: ["Clinical"] },
  { pm2: "llama-claims", file: "claims-8b.gguf", weightsGib: 5.3, agents: ["Claims", "Billing"] },
];

/** @param origin of the agent: there is no tunnel here */
export function fleetText({ agent, servers }: Ports, llamaServerBin: string, modelsDir: string): string {
  const fleet = {
    domain: "ai.rehearsal.example",
    defaultPort: servers[0],
    modelRouter: [servers[0]],
    cors: { v1: "*" },
    limits: { perAddressPerSecond: 100, perKeyPerSecond: 1000 },
    legacy: { keys: [], anonymous: null },
    boxes: [
      {
        name: BOX,
        origin: `http://127.0.0.1:${agent}`,
        gpu: "NVIDIA GeForce RTX 3090",
        vramGib: 24,
        llamaServerBin,
        modelsDir,
        user: "isha",
        locationHint: "enam",
        servers: MODELS.map(({ pm2, file, weightsGib, agents }, at) => ({
          port: servers[at],
          pm2,
          model: pm2.replace("llama-", "Rehearsal-"),
          file,
          weightsGib,
          slots: 2,
          contextPerSlot: 2048,
          maxTokens: 256,
          kvType: "q8_0",
          kvKibPerToken: 128,
          ubatch: 128,
          agents,
          capabilities: ["chat", "tools", "json_schema"],
          description: "A simulated model.",
          bestFor: "rehearsals",
        })),
      },
    ],
  };
  return `import { defineFleet } from "./shared/fleet.ts";\n\nexport default defineFleet(${JSON.stringify(fleet, null, 2)});\n`;
}
