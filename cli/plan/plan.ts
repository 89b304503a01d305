// Plans a box's GPU memory: what each server needs, by its GGUF file if that is there, whether all fit, and the smallest
// changes after which they would. Pure.
import type { Box, Server } from "../../shared/fleet.ts";
import { gpuMemoryGib, VRAM_SHARE, type MemoryNeed, type ServerMemory } from "../../shared/gpu-memory.ts";
import type { ModelFacts } from "./model-facts.ts";

/** What is known of a server's file: its facts, or why the fleet file's figures are used. */
export type FileReport =
  | { readonly facts: ModelFacts }
  | { readonly missing: string }
  | { readonly fault: string };

export interface ServerPlan {
  readonly server: Server;
  readonly file: FileReport;
  readonly memory: ServerMemory;
  readonly need: MemoryNeed;
  /** Lines of the fleet file that differ from the GGUF file, with the value to set. */
  readonly corrections: readonly string[];
}

export interface BoxPlan {
  readonly box: Box;
  readonly servers: readonly ServerPlan[];
  readonly totalGib: number;
  readonly allowedGib: number;
  readonly fits: boolean;
  /** What would make it fit, the least change first; empty if it fits. */
  readonly changes: readonly Change[];
}

export interface Change {
  readonly what: string;
  readonly totalGib: number;
}

/** Differences below these are rounding in the fleet file. */
const WEIGHT_TOLERANCE_GIB = 0.1;
const KV_TOLERANCE = 0.02;

export function planBox(box: Box, files: ReadonlyMap<string, FileReport>): BoxPlan {
  const servers = box.servers.map((server) =>
    planServer(server, files.get(server.file) ?? { missing: "not looked at" }),
  );
  const totalGib = total(servers.map(({ memory }) => memory));
  const allowedGib = box.vramGib * VRAM_SHARE;
  const fits = totalGib <= allowedGib;
  return {
    box,
    servers,
    totalGib,
    allowedGib,
    fits,
    changes: fits ? [] : changesThatFit(servers, allowedGib),
  };
}

function planServer(server: Server, file: FileReport): ServerPlan {
  const facts = "facts" in file ? file.facts : null;
  const memory: ServerMemory = {
    ...server,
    weightsGib: facts?.weightsGib ?? server.weightsGib,
    kvKibPerToken: facts?.kvKibPerToken ?? server.kvKibPerToken,
  };
  const corrections = facts === null ? [] : correctionsOf(server, facts);
  return { server, file, memory, need: gpuMemoryGib(memory), corrections };
}

function correctionsOf(server: Server, facts: ModelFacts): string[] {
  const { weightsGib, kvKibPerToken, contextPerSlot, port } = server;
  const lines: string[] = [];
  if (Math.abs(facts.weightsGib - weightsGib) > WEIGHT_TOLERANCE_GIB) {
    lines.push(`${port}: set weightsGib to ${facts.weightsGib.toFixed(1)}; the fleet file has ${weightsGib}`);
  }
  if (Math.abs(facts.kvKibPerToken / kvKibPerToken - 1) > KV_TOLERANCE) {
    lines.push(`${port}: set kvKibPerToken to ${facts.kvKibPerToken}; the fleet file has ${kvKibPerToken}`);
  }
  if (facts.trainedContext !== null && contextPerSlot > facts.trainedContext) {
    lines.push(
      `${port}: set contextPerSlot to ${facts.trainedContext} or less; the model was trained for that, and the fleet file has ${contextPerSlot}`,
    );
  }
  if (!facts.hasChatTemplate && server.capabilities.includes("chat")) {
    lines.push(
      `${port}: the file has no chat template; llama-server would use ChatML, so set --chat-template in flags`,
    );
  }
  return lines;
}

const total = (servers: readonly ServerMemory[]): number =>
  servers.reduce((sum, server) => sum + gpuMemoryGib(server).total, 0);

/** A step that lowers one server's need; null if there is nothing left to lower. */
interface Step {
  readonly apply: (server: ServerMemory) => ServerMemory | null;
  readonly name: (server: ServerMemory) => string;
}

const MIN_UBATCH = 128;
const MIN_CONTEXT = 1_024;

/** From what clients notice least to what they notice most. */
const STEPS: readonly Step[] = [
  {
    apply: (server) => (server.ubatch > MIN_UBATCH ? { ...server, ubatch: MIN_UBATCH } : null),
    name: () => `ubatch ${MIN_UBATCH}`,
  },
  {
    apply: (server) => (server.kvType === "f16" ? { ...server, kvType: "q8_0" } : null),
    name: () => 'kvType "q8_0"',
  },
  {
    apply: (server) => (server.slots > 1 ? { ...server, slots: Math.ceil(server.slots / 2) } : null),
    name: ({ slots }) => `slots ${slots}`,
  },
  {
    apply: (server) =>
      server.contextPerSlot / 2 >= MIN_CONTEXT
        ? { ...server, contextPerSlot: server.contextPerSlot / 2 }
        : null,
    name: ({ contextPerSlot }) => `contextPerSlot ${contextPerSlot}`,
  },
];

/**
 * Bits per weight of Llama 3.1 8B, measured by llama.cpp (`tools/quantize/README.md`); the larger ones lose less.
 * Models of other sizes differ by a few per cent.
 */
const QUANTISATIONS = [
  { name: "Q8_0", bits: 8.5008 },
  { name: "Q6_K", bits: 6.5633 },
  { name: "Q5_K_M", bits: 5.7036 },
  { name: "Q4_K_M", bits: 4.8944 },
  { name: "Q3_K_M", bits: 3.996 },
] as const;

function changesThatFit(servers: readonly ServerPlan[], allowedGib: number): Change[] {
  return [
    ...settingsThatFit(servers, allowedGib),
    ...quantisationsThatFit(servers, allowedGib),
    ...removalsThatFit(servers, allowedGib),
  ];
}

/** Applies the steps in their order, each to one server after another, the largest first, until all fit. */
function settingsThatFit(servers: readonly ServerPlan[], allowedGib: number): Change[] {
  const current = servers
    .toSorted((a, b) => b.need.total - a.need.total)
    .map(({ server, memory }) => ({ port: server.port, memory }));
  /** Ports by what is set there. */
  const made = new Map<string, number[]>();
  for (const step of STEPS) {
    for (const one of current) {
      const lowered = step.apply(one.memory);
      if (lowered === null) continue;
      one.memory = lowered;
      const setting = step.name(lowered);
      made.set(setting, [...(made.get(setting) ?? []), one.port]);
      const totalGib = total(current.map(({ memory }) => memory));
      if (totalGib > allowedGib) continue;
      const what = [...made].map(([set, ports]) => `${set} for ${ports.join(", ")}`).join("; ");
      return [{ what, totalGib }];
    }
  }
  return [];
}

/** The least coarse quantisation of the largest model with which all fit. */
function quantisationsThatFit(servers: readonly ServerPlan[], allowedGib: number): Change[] {
  const known = servers.flatMap((plan) =>
    "facts" in plan.file ? [{ ...plan, facts: plan.file.facts }] : [],
  );
  const largest = known.toSorted((a, b) => b.facts.weightsGib - a.facts.weightsGib)[0];
  if (largest === undefined) return [];
  const { parameters, weightsGib } = largest.facts;
  for (const { name, bits } of QUANTISATIONS) {
    const gib = (parameters * bits) / 8 / 1024 ** 3;
    if (gib >= weightsGib) continue;
    const memories = servers.map((plan) =>
      plan.server.file === largest.server.file ? { ...plan.memory, weightsGib: gib } : plan.memory,
    );
    const totalGib = total(memories);
    if (totalGib <= allowedGib) {
      return [
        {
          what: `${largest.server.model} as ${name} (${gib.toFixed(1)} GiB instead of ${weightsGib.toFixed(1)})`,
          totalGib,
        },
      ];
    }
  }
  return [];
}

/** The smallest server without which the others fit. */
function removalsThatFit(servers: readonly ServerPlan[], allowedGib: number): Change[] {
  if (servers.length === 1) return [];
  const bySize = servers.toSorted((a, b) => a.need.total - b.need.total);
  for (const without of bySize) {
    const totalGib = total(servers.filter((plan) => plan !== without).map(({ memory }) => memory));
    if (totalGib <= allowedGib) {
      return [{ what: `${without.server.model} (${without.server.port}) on another box`, totalGib }];
    }
  }
  return [];
}
