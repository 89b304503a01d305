// Reads the agent's environment; no other file does. Reports all missing or invalid variables at once, by name.
import { join } from "node:path";
import * as z from "zod";
import { parsedJson } from "../shared/parsed-json.ts";

const port = z
  .string()
  .regex(/^\d{1,5}$/, "must be a port, 0 to 65535")
  .transform(Number)
  .pipe(z.int().min(0).max(65_535));

/** The port that cloudflared uses; the old system's gateway listened on it too. */
const DEFAULT_PORT = 8000;

const portMap = z
  .string()
  .transform(parsedJson('must be JSON such as {"9001":41001}'))
  .pipe(z.record(z.string().regex(/^\d+$/), z.int().min(1).max(65_535)));

const portSet = z
  .string()
  .regex(/^(\d+(,\d+)*)?$/, "must be ports separated by commas, such as 9001,9002")
  .transform((text) => new Set(text === "" ? [] : text.split(",").map(Number)));

const secret = z.string().min(16, "must have 16 characters or more; `openssl rand -hex 32` makes one");

const commandJson = parsedJson('must be a program or a JSON list such as ["node","x.ts"]');

const command = z
  .string()
  .min(1)
  .transform((text, context) => (text.startsWith("[") ? commandJson(text, context) : [text]))
  .pipe(z.tuple([z.string().min(1)], z.string()));

/** The value of EDGE_URL for an agent that runs without an edge. */
const NO_LINK = "off";

const edgeUrl = z
  .string()
  .transform((text) => (text === NO_LINK ? "" : text))
  .pipe(
    z.union(
      [z.literal(""), z.url({ protocol: /^https?$/ })],
      "must be the edge's URL, such as https://ai.example.org, or `off`",
    ),
  );

const Environment = z.object({
  /** Path of the fleet file; by default the one in this program's parent folder. */
  ISHA_FLEET: z.string().min(1).optional(),
  /** This box's name in the fleet file; optional if the file has only one box. */
  ISHA_BOX: z.string().min(1).optional(),
  AGENT_HOST: z.string().min(1).default("127.0.0.1"),
  /** 0 chooses a free port; the log reports it. */
  AGENT_PORT: port.default(DEFAULT_PORT),
  /** Shared with the edge; both are accepted during a rotation. */
  BOX_SECRET: secret,
  BOX_SECRET_PREVIOUS: secret.optional(),
  /** The URL to which the link connects; by default the fleet's domain. `off` or empty: no link. */
  EDGE_URL: edgeUrl.optional(),
  /** The key with which llama-server was started (`--api-key-file`). */
  LLAMA_API_KEY: z.string().min(1),
  /** The real ports of servers that don't listen on the fleet file's port: simulators on free ports. */
  UPSTREAM_PORTS: portMap.default({}),
  /** Ports of simulators; a header marks their answers. */
  SIMULATED_PORTS: portSet.default(() => new Set<number>()),
  /** The agent's own folder on disk, for its usage journals and the last valid fleet file. */
  ISHA_STATE: z.string().min(1).optional(),
  HOME: z.string().min(1).optional(),
  /** PM2's folder, which contains its socket. */
  PM2_HOME: z.string().min(1).optional(),
  /** The nvidia-smi command: a program, or a JSON list of a program and its first arguments. */
  NVIDIA_SMI: command.default(["nvidia-smi"]),
  /** `1`: that nvidia-smi is a simulator. */
  SIMULATED_GPU: z.literal("1", "must be 1, or absent").optional(),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export interface Settings {
  readonly fleetFile: string | null;
  readonly box: string | null;
  readonly host: string;
  readonly port: number;
  /** The current one first. */
  readonly boxSecrets: readonly [string, ...string[]];
  /** Null: the fleet's domain. Empty: no link. */
  readonly edgeUrl: string | null;
  readonly llamaApiKey: string;
  readonly upstreamPorts: ReadonlyMap<number, number>;
  readonly simulatedPorts: ReadonlySet<number>;
  readonly stateFolder: string;
  readonly pm2Home: string;
  readonly nvidiaSmi: readonly [string, ...string[]];
  readonly simulatedGpu: boolean;
  readonly logLevel: z.infer<typeof Environment>["LOG_LEVEL"];
}

/**
 * Reads the agent's settings.
 * @throws Error that names every missing or invalid variable and what it must be, but never its value.
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `  - ${String(issue.path[0])}: ${issue.message}`);
    throw new Error(["the agent's environment is invalid:", ...faults].join("\n"));
  }
  const value = parsed.data;
  const home = value.HOME ?? ".";
  return {
    fleetFile: value.ISHA_FLEET ?? null,
    box: value.ISHA_BOX ?? null,
    host: value.AGENT_HOST,
    port: value.AGENT_PORT,
    boxSecrets:
      value.BOX_SECRET_PREVIOUS === undefined
        ? [value.BOX_SECRET]
        : [value.BOX_SECRET, value.BOX_SECRET_PREVIOUS],
    edgeUrl: value.EDGE_URL ?? null,
    llamaApiKey: value.LLAMA_API_KEY,
    upstreamPorts: new Map(Object.entries(value.UPSTREAM_PORTS).map(([from, to]) => [Number(from), to])),
    simulatedPorts: value.SIMULATED_PORTS,
    stateFolder: value.ISHA_STATE ?? join(home, ".isha"),
    pm2Home: value.PM2_HOME ?? join(home, ".pm2"),
    nvidiaSmi: value.NVIDIA_SMI,
    simulatedGpu: value.SIMULATED_GPU !== undefined,
    logLevel: value.LOG_LEVEL,
  };
}
