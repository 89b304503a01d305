// Defines and validates the fleet file, fleet.config.ts, which an operator writes. It describes the fleet only; the
// current state of servers is not its concern.
import * as z from "zod/mini";
import { fieldFault } from "./field-fault.ts";
import { gpuMemoryGib, VRAM_SHARE, type ServerMemory } from "./gpu-memory.ts";
import { DEFAULT_BODY_KIB, MAX_BODY_KIB, MAX_NAME_LENGTH, QUEUE_SHARE_PER_KEY } from "./limits.ts";

/** What a server can do. A call that needs more is refused with 400 before it reaches a box. */
const CAPABILITIES = ["chat", "tools", "json_schema", "vision", "audio", "embeddings", "rerank"] as const;

/** Which other servers may take a call if the requested one is not up. */
export const FALLBACK_POLICIES = ["auto", "same-model", "none"] as const;
export type FallbackPolicy = (typeof FALLBACK_POLICIES)[number];

export const PRIORITIES = ["high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** The agent type of the default server, for keys that are limited to agent types. */
export const DEFAULT_AGENT = "Default";

const name = z
  .string()
  .check(
    z.minLength(1),
    z.maxLength(MAX_NAME_LENGTH),
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
      "must have only letters, digits, '.', '_' and '-', since it is used in headers and file names",
    ),
  );
const sentence = z.string().check(z.minLength(1), z.maxLength(400));
const port = z.int().check(z.gte(1), z.lte(65_535));
const count = z.int().check(z.positive());

const ServerSchema = z.strictObject({
  port,
  /** Name of its PM2 process: `pm2 logs <name>`. */
  pm2: name,
  /** The model's id for clients; replicas share it. */
  model: name,
  /** The GGUF file; its answers name it as `model` (`--alias`). */
  file: name,
  weightsGib: z.number().check(z.positive()),
  /** Parallel sequences (`--parallel`). */
  slots: count,
  /** Tokens of context per slot; `-c` is slots × this. */
  contextPerSlot: count,
  /** The most tokens of one answer, whatever the client requests. */
  maxTokens: count,
  kvType: z.enum(["f16", "q8_0"]),
  /** Size of one token in an f16 KV cache: 2 × layers × KV heads × head size × 2 bytes. */
  kvKibPerToken: z.number().check(z.positive()),
  /** `-ub`: prompt tokens processed at once; determines the size of the compute buffers. */
  ubatch: count,
  agents: z.array(name),
  capabilities: z.array(z.enum(CAPABILITIES)).check(z.minLength(1)),
  description: sentence,
  bestFor: sentence,
  /** Further command-line flags for llama-server. */
  flags: z._default(z.array(z.string().check(z.minLength(1))), []),
});

/** Cloudflare's hints for where it places objects. */
export const LOCATIONS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;

const BoxSchema = z.strictObject({
  name,
  /** The URL of the box's agent for the edge: the tunnel's hostname. */
  origin: z.url({ protocol: /^https?$/ }),
  gpu: sentence,
  vramGib: z.number().check(z.positive()),
  llamaServerBin: z.string().check(z.minLength(1)),
  modelsDir: z.string().check(z.minLength(1)),
  /** The Unix user of PM2, the agent and the servers. */
  user: name,
  /** The locally managed tunnel of cloudflared on this box; `isha generate` writes its configuration. */
  tunnel: z.optional(
    z.strictObject({
      /** As `cloudflared tunnel create` prints it. */
      id: z.string().check(z.regex(/^[0-9a-f-]{36}$/, "must be a tunnel's id: cloudflared tunnel list")),
      /** Makes cloudflared refuse whatever Cloudflare Access did not let through. */
      access: z.optional(
        z.strictObject({
          /** The part of `<team>.cloudflareaccess.com` before the dot. */
          teamName: name,
          /** The application's audience tag. */
          audTag: z.string().check(z.regex(/^[0-9a-f]{64}$/, "must be 64 hexadecimal digits")),
        }),
      ),
    }),
  ),
  /** Where Cloudflare places this deployment's objects. */
  locationHint: z.enum(LOCATIONS),
  servers: z.array(ServerSchema).check(z.minLength(1)),
});

const LegacyKeySchema = z.strictObject({
  name,
  /** SHA-256 of the old key, 64 hexadecimal digits: `printf %s "$KEY" | sha256sum`. */
  sha256: z
    .string()
    .check(
      z.regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits: printf %s "$KEY" | sha256sum'),
    ),
  agents: z._default(z.nullable(z.array(name)), null),
  /** From the start of this day on (UTC) the key is refused as expired. */
  until: z.iso.date(
    "must be the day from which the key is refused, such as 2027-01-31; its client needs a new key before",
  ),
});

/** Without the checks across fields, which `defineFleet` adds. */
export const FleetSchema = z.strictObject({
  /** The public host name. */
  domain: z.hostname(),
  /** The server for calls that name no model and no agent type. */
  defaultPort: port,
  /** Ports to try, in order, if the requested model is not up. */
  modelRouter: z.array(port),
  /** What an unknown model name gets: a 404, or the default server, for a migration. */
  unknownModel: z._default(z.enum(["refuse", "default"]), "refuse"),
  /** What an unknown agent type gets: the default server, which the answer reports, or a 400. */
  unknownAgent: z._default(z.enum(["default", "refuse"]), "default"),
  /** Fallback policy by agent type; `auto` by default. */
  fallback: z._default(z.record(z.string(), z.enum(FALLBACK_POLICIES)), {}),
  cors: z.strictObject({
    /** Origins whose pages may call `/v1/*`; `"*"` is safe, since browsers don't send keys automatically. */
    v1: z.union([z.literal("*"), z.array(z.url())]),
  }),
  limits: z.strictObject({
    perAddressPerSecond: count,
    perKeyPerSecond: count,
  }),
  /** Largest body of a call, in KiB: more for prompts with images. Every isolate has 32 MiB for all of them. */
  maxBodyKib: z._default(count.check(z.lte(MAX_BODY_KIB)), DEFAULT_BODY_KIB),
  /** The share of a queue's places that one key may take. If one key sends all calls, 1 gives it every place. */
  queueSharePerKey: z._default(z.number().check(z.gt(0), z.lte(1)), QUEUE_SHARE_PER_KEY),
  legacy: z.strictObject({
    keys: z.array(LegacyKeySchema),
    /** Admits calls without a key until a date, for old clients. */
    anonymous: z.nullable(z.strictObject({ agents: z.nullable(z.array(name)), until: z.iso.date() })),
  }),
  boxes: z.array(BoxSchema).check(z.minLength(1), z.maxLength(10)),
});

export type FleetInput = z.input<typeof FleetSchema>;
export type FleetConfig = z.output<typeof FleetSchema>;
export type Box = FleetConfig["boxes"][number];
export type Server = Box["servers"][number];
export type Capability = (typeof CAPABILITIES)[number];

/**
 * Validates a fleet file and fills in the defaults.
 * @throws Error whose message lists each fault on its own line: the field, the reason, and a fix.
 */
export function defineFleet(input: FleetInput): FleetConfig {
  const parsed = FleetSchema.safeParse(input);
  if (!parsed.success) {
    throw fleetError(parsed.error.issues.map((issue) => schemaFault(issue, input)));
  }
  const faults = crossCheck(parsed.data);
  if (faults.length > 0) throw fleetError(faults);
  return parsed.data;
}

/** The ports of each box's servers, by the box's name. */
export type PortsByBox = Readonly<Record<string, readonly number[]>>;

export function portsByBox({ boxes }: Pick<FleetConfig, "boxes">): PortsByBox {
  return Object.fromEntries(boxes.map(({ name, servers }) => [name, servers.map(({ port }) => port)]));
}

/** PM2's name of each server, by box and port: for the commands that texts recommend. */
export type ProcessesByBox = Readonly<Record<string, Readonly<Record<string, string>>>>;

export function processesByBox({ boxes }: Pick<FleetConfig, "boxes">): ProcessesByBox {
  return Object.fromEntries(
    boxes.map(({ name, servers }) => [name, Object.fromEntries(servers.map(({ port, pm2 }) => [port, pm2]))]),
  );
}

/** A path as JavaScript writes it: `boxes[0].servers[2].port`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text === "" ? "(the file)" : text;
}

/** A fault that the schema found, with the names that the operator wrote. */
function schemaFault(issue: z.core.$ZodIssue, input: unknown): string {
  const { path, message } = fieldFault(issue, input);
  if (issue.code === "unrecognized_keys") {
    return `${fieldPath(path)}: ${issue.keys.map((key) => JSON.stringify(key)).join(", ")} ${message}`;
  }
  // A schema's own message explains what is missing.
  const own = message === "is missing" && /^[a-z]/.test(issue.message) ? `; it ${issue.message}` : "";
  return `${fieldPath(path)}: ${message}${own}`;
}

function fleetError(faults: readonly string[]): Error {
  const heading = `fleet.config.ts has ${faults.length === 1 ? "a fault" : `${faults.length} faults`}:`;
  return new Error([heading, ...faults.map((fault) => `  - ${fault}`)].join("\n"));
}

function crossCheck(fleet: FleetConfig): string[] {
  return [
    ...duplicateBoxes(fleet),
    ...fleet.boxes.flatMap((box, index) => boxFaults(box, `boxes[${index}]`)),
    ...portsThatDisagree(fleet),
    ...unknownNames(fleet),
  ];
}

function duplicateBoxes(fleet: FleetConfig): string[] {
  return duplicates(fleet.boxes.map((box) => box.name)).map(
    ({ value, second }) =>
      `boxes[${second}].name: another box is named "${value}"; boxes are identified by name, so choose another`,
  );
}

function boxFaults(box: Box, at: string): string[] {
  const faults: string[] = [];
  for (const { value, second } of duplicates(box.servers.map((server) => server.port))) {
    faults.push(
      `${at}.servers[${second}].port: another server of this box has port ${value}; choose a free one`,
    );
  }
  for (const { value, second } of duplicates(box.servers.map((server) => server.pm2))) {
    faults.push(
      `${at}.servers[${second}].pm2: another server has the PM2 name "${value}"; give each server its own`,
    );
  }
  faults.push(...agentsTwice(box, at), ...impossibleCaps(box, at), ...memoryFaults(box, at));
  return faults;
}

function agentsTwice(box: Box, at: string): string[] {
  const faults: string[] = [];
  const firstWith = new Map<string, Server>();
  for (const [index, server] of box.servers.entries()) {
    for (const agent of server.agents) {
      const first = firstWith.get(agent.toLowerCase());
      if (first === undefined) {
        firstWith.set(agent.toLowerCase(), server);
      } else if (first.model !== server.model) {
        faults.push(
          `${at}.servers[${index}].agents: port ${first.port} (${first.model}) lists "${agent}" too; only replicas of one ` +
            `model may share an agent type, so remove it from one of them`,
        );
      }
    }
  }
  return faults;
}

function impossibleCaps(box: Box, at: string): string[] {
  return box.servers.flatMap((server, index) =>
    server.maxTokens < server.contextPerSlot
      ? []
      : [
          `${at}.servers[${index}].maxTokens: ${server.maxTokens} leaves no room for a prompt in a slot of ` +
            `${server.contextPerSlot} tokens; lower it or raise contextPerSlot`,
        ],
  );
}

function memoryFaults(box: Box, at: string): string[] {
  const needs = box.servers.map((server) => gpuMemoryGib(server satisfies ServerMemory));
  const total = needs.reduce((sum, need) => sum + need.total, 0);
  const allowed = box.vramGib * VRAM_SHARE;
  if (total <= allowed) return [];
  const table = box.servers
    .map((server, index) => `${server.port}: ${(needs[index]?.total ?? 0).toFixed(1)}`)
    .join(", ");
  return [
    `${at}.servers: they need ${total.toFixed(1)} GiB (${table}), but ${VRAM_SHARE * 100} % of the card's ${box.vramGib} GiB is ` +
      `${allowed.toFixed(1)} GiB; lower slots, contextPerSlot or ubatch, use kvType "q8_0", or move a server to another box`,
  ];
}

function portsThatDisagree(fleet: FleetConfig): string[] {
  const faults: string[] = [];
  const first = new Map<number, { readonly box: string; readonly model: string }>();
  for (const [boxIndex, box] of fleet.boxes.entries()) {
    for (const [index, server] of box.servers.entries()) {
      const known = first.get(server.port);
      if (known === undefined) first.set(server.port, { box: box.name, model: server.model });
      else if (known.model !== server.model && known.box !== box.name) {
        faults.push(
          `boxes[${boxIndex}].servers[${index}].port: ${server.port} is ${known.model} on box "${known.box}"; clients ` +
            `select a model by its port, so a port must be the same model on every box`,
        );
      }
    }
  }
  return faults;
}

function unknownNames(fleet: FleetConfig): string[] {
  const faults: string[] = [];
  const ports = new Set(fleet.boxes.flatMap((box) => box.servers.map((server) => server.port)));
  const known = `the ports are: ${[...ports].join(", ")}`;
  if (!ports.has(fleet.defaultPort)) {
    faults.push(`defaultPort: no server has port ${fleet.defaultPort}; ${known}`);
  }
  for (const [index, routed] of fleet.modelRouter.entries()) {
    if (!ports.has(routed)) faults.push(`modelRouter[${index}]: no server has port ${routed}; ${known}`);
  }
  const agents = new Set(fleet.boxes.flatMap((box) => box.servers.flatMap((server) => server.agents)));
  agents.add(DEFAULT_AGENT);
  const check = (agent: string, field: string): void => {
    if (!agents.has(agent)) {
      faults.push(
        `${field}: no server lists the agent type "${agent}"; the agent types are: ${[...agents].join(", ")}`,
      );
    }
  };
  for (const agent of Object.keys(fleet.fallback)) check(agent, `fallback.${agent}`);
  for (const [index, key] of fleet.legacy.keys.entries()) {
    for (const agent of key.agents ?? []) check(agent, `legacy.keys[${index}].agents`);
  }
  for (const agent of fleet.legacy.anonymous?.agents ?? []) check(agent, "legacy.anonymous.agents");
  return faults;
}

function duplicates<T>(values: readonly T[]): { readonly value: T; readonly second: number }[] {
  const seen = new Set<T>();
  return values.flatMap((value, second) => {
    if (seen.has(value)) return [{ value, second }];
    seen.add(value);
    return [];
  });
}
