// The fleet of this deployment: one box with five llama-servers. Only this file contains domains, ports, models and agent
// types. `npm run check` validates it and reports each fault with its field.
import { defineFleet } from "./shared/fleet.ts";

// With two slots of 2,048 tokens, a q8_0 cache and small micro-batches, the five servers need 23.1 of 24 GiB.
const common = { slots: 2, contextPerSlot: 2048, maxTokens: 1024, kvType: "q8_0", ubatch: 128 } as const;
const llama8b = { ...common, kvKibPerToken: 128 } as const;
const qwen = {
  ...common,
  model: "Qwen-0.6B",
  file: "qwen-0.6b-medicaldataset-f16.gguf",
  weightsGib: 1.1,
  kvKibPerToken: 112,
} as const;

export default defineFleet({
  domain: "ai.isha.buzz",
  defaultPort: 8080,
  modelRouter: [8081, 8080],
  unknownModel: "refuse",
  fallback: {},
  cors: { v1: "*" },
  limits: { perAddressPerSecond: 100, perKeyPerSecond: 1000 },
  legacy: { keys: [], anonymous: null },
  boxes: [
    {
      name: "box1",
      origin: "https://box1.isha.buzz",
      gpu: "NVIDIA GeForce RTX 3090",
      vramGib: 24,
      llamaServerBin: "/usr/local/bin/llama-server",
      modelsDir: "/srv/models",
      user: "isha",
      locationHint: "enam",
      servers: [
        {
          ...qwen,
          port: 8080,
          pm2: "llama-qwen-8080",
          agents: [],
          capabilities: ["chat", "tools", "json_schema"],
          description: "Small and quick; answers whatever no other model is asked for.",
          bestFor: "fast answers, high throughput (2–3 s)",
        },
        {
          ...llama8b,
          port: 8081,
          pm2: "llama-medpalm2-8081",
          model: "MedPalm2-8B",
          file: "Llama-3.1-MedPalm2-imitate-8B-Instruct.Q6_K.gguf",
          weightsGib: 6.1,
          agents: ["MedicalQA", "Chat"],
          capabilities: ["chat", "tools", "json_schema"],
          description: "Llama 3.1 8B tuned on medical questions.",
          bestFor: "medical knowledge, general conversation, accuracy (5–7 s)",
        },
        {
          ...qwen,
          port: 8082,
          pm2: "llama-qwen-8082",
          agents: ["Scribe", "Triage"],
          capabilities: ["chat", "tools", "json_schema"],
          description: "The same small model as the default, kept free for scribes and triage.",
          bestFor: "fast scribe assistance (2–3 s)",
        },
        {
          ...llama8b,
          port: 8084,
          pm2: "llama-openinsurance-8084",
          model: "OpenInsurance-8B",
          file: "openinsurancellm-llama3-8b.Q5_K_M.gguf",
          weightsGib: 5.3,
          agents: ["Claims", "Billing", "Insurance"],
          capabilities: ["chat", "tools", "json_schema"],
          description: "Llama 3 8B tuned on insurance texts.",
          bestFor: "claim processing, billing, cover questions (6–8 s)",
        },
        {
          ...llama8b,
          port: 8085,
          pm2: "llama-bimedix2-8085",
          model: "BiMediX2-8B",
          file: "BiMediX2-8B-hf.i1-Q6_K.gguf",
          weightsGib: 6.1,
          agents: ["Clinical", "AIDoctor"],
          capabilities: ["chat", "tools", "json_schema"],
          description: "Llama 3.1 8B tuned on clinical texts.",
          bestFor: "clinical decision support, clinical accuracy (7–10 s)",
        },
      ],
    },
  ],
});
