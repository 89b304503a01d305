// The one place that reads the agent's environment. What is wrong is said by name, all of it at once.
import { join } from "node:path";
import * as z from "zod";
import { parsedJson } from "../shared/parsed-json.ts";

const port = z
  .string()
  .regex(/^\d{1,5}$/, "must be a port, 0 to 65535")
  .transform(Number)
  .pipe(z.int().min(0).max(65_535));

/** Where cloudflared finds the agent, as the old system's gateway was found. */
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

/** Said in place of a URL where an agent is to stand alone. */
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
  /** Path of the fleet file; without it the one beside this program. */
  ISHA_FLEET: z.string().min(1).optional(),
  /** Which box of the fleet file this is; may be left out where there is only one. */
  ISHA_BOX: z.string().min(1).optional(),
  AGENT_HOST: z.string().min(1).default("127.0.0.1"),
  /** 0 takes a free port and says which. */
  AGENT_PORT: port.default(DEFAULT_PORT),
  /** Shared with the edge; both are accepted while it is being rotated. */
  BOX_SECRET: secret,
  BOX_SECRET_PREVIOUS: secret.optional(),
  /** Where the link to the edge is dialled: without it at the fleet's domain; `off` or empty: nowhere. */
  EDGE_URL: edgeUrl.optional(),
  /** What llama-server was started with (`--api-key-file`). */
  LLAMA_API_KEY: z.string().min(1),
  /** Where a server listens when not on the port its fleet file names: simulators on free ports. */
  UPSTREAM_PORTS: portMap.default({}),
  /** Ports behind which a simulator stands; every answer of theirs says so. */
  SIMULATED_PORTS: portSet.default(() => new Set<number>()),
  /** The agent's own folder on disk: its usage journals. */
  ISHA_STATE: z.string().min(1).optional(),
  HOME: z.string().min(1).optional(),
  /** PM2's folder, where its socket is. */
  PM2_HOME: z.string().min(1).optional(),
  /** How nvidia-smi is called: a program, or a JSON list of it and its first arguments. */
  NVIDIA_SMI: command.default(["nvidia-smi"]),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export interface Settings {
  readonly fleetFile: string | null;
  readonly box: string | null;
  readonly host: string;
  readonly port: number;
  /** The one that counts first. */
  readonly boxSecrets: readonly [string, ...string[]];
  /** Null: at the fleet's domain. Empty: this agent stands alone. */
  readonly edgeUrl: string | null;
  readonly llamaApiKey: string;
  readonly upstreamPorts: ReadonlyMap<number, number>;
  readonly simulatedPorts: ReadonlySet<number>;
  readonly stateFolder: string;
  readonly pm2Home: string;
  readonly nvidiaSmi: readonly [string, ...string[]];
  readonly logLevel: z.infer<typeof Environment>["LOG_LEVEL"];
}

/**
 * Reads the agent's settings.
 * @throws Error that names every variable that is missing or wrong, and what it must be; never its value.
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `  - ${String(issue.path[0])}: ${issue.message}`);
    throw new Error(["the agent's environment is not right:", ...faults].join("\n"));
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
    logLevel: value.LOG_LEVEL,
  };
}
