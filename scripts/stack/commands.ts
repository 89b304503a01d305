// The command lines and environments of what runs here: simulated llama-servers, agents, the edge. Pure: it
// says how they are started and starts none.
import { join } from "node:path";
import { PROJECT_NODE, ROOT } from "../paths.ts";
import type { Command } from "./program.ts";
import type { Server } from "../../shared/fleet.ts";

/** How a simulated llama-server behaves from its start on. */
export interface Pace {
  loadMs?: number;
  tokensPerSecond?: number;
  promptTokensPerSecond?: number;
  /** Any of test/sim's. */
  switches?: Record<string, unknown>;
}

/** What a program of ours needs of the user's environment; the rest could change what it does. */
const INHERITED = "PATH HOME USER LOGNAME SHELL TMPDIR TZ LANG LC_ALL LC_CTYPE LD_LIBRARY_PATH".split(" ");

/** Keeps wrangler and workerd on this machine, and their files out of the user's home. */
export const OFFLINE = {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_CI_DISABLE_CONFIG_WATCHING: "true",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
  X_LOCAL_EXPLORER: "false",
};

export function inherited(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    INHERITED.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

/** @param options   `port` and `controlPort`: 0 for any */
export function simulatorCommand({
  server,
  keyFile,
  port,
  controlPort,
  pace,
}: {
  server: Server;
  keyFile: string;
  port: number;
  controlPort: number;
  pace: Pace;
}): Command {
  const args = [
    join(ROOT, "test/sim/llama-server.ts"),
    ...flags({
      "--host": "127.0.0.1",
      "--port": port,
      "--alias": server.file,
      "-c": server.slots * server.contextPerSlot,
      "--parallel": server.slots,
      "--metrics": true,
      "--slots": true,
      "--no-cache-prompt": true,
      "--cache-ram": 0,
      "--api-key-file": keyFile,
      "--embeddings": server.capabilities.includes("embeddings"),
      "--reranking": server.capabilities.includes("rerank"),
      "--sim-control-port": controlPort,
      "--sim-load-ms": pace.loadMs,
      "--sim-tokens-per-second": pace.tokensPerSecond,
      "--sim-prompt-tokens-per-second": pace.promptTokensPerSecond,
      "--sim-switches": pace.switches && JSON.stringify(pace.switches),
    }),
  ];
  return { command: PROJECT_NODE, args, env: inherited(process.env) };
}

/** As `cli/generate/ecosystem.ts` has them for a box, with their reasons; what it costs is measured with these. */
const AGENT_FLAGS = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=8"];
const AGENT_MEMORY = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: String(256 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(1024 * 1024),
  NODE_COMPILE_CACHE: join(ROOT, "node_modules/.cache/agent"),
};

export function agentCommand(options: {
  fleetFile: string;
  box: string;
  /** 0 for any */
  port: number;
  boxSecret: string;
  llamaApiKey: string;
  /** The fleet's port → where that server is. */
  upstreamPorts: Record<string, number>;
  simulatedPorts: number[];
  /** Where it dials the link; `off` for nowhere. */
  edgeUrl: string;
  stateFolder: string;
  further: Record<string, string>;
}): Command {
  return {
    command: PROJECT_NODE,
    args: [...AGENT_FLAGS, join(ROOT, "origin-agent/main.ts")],
    env: {
      ...inherited(process.env),
      ...AGENT_MEMORY,
      ISHA_FLEET: options.fleetFile,
      ISHA_BOX: options.box,
      AGENT_PORT: String(options.port),
      BOX_SECRET: options.boxSecret,
      LLAMA_API_KEY: options.llamaApiKey,
      UPSTREAM_PORTS: JSON.stringify(options.upstreamPorts),
      SIMULATED_PORTS: options.simulatedPorts.join(","),
      EDGE_URL: options.edgeUrl,
      // Its own, not those of an agent or a PM2 that serve on this machine for real.
      ISHA_STATE: join(options.stateFolder, `agent-${options.box}`),
      PM2_HOME: join(options.stateFolder, "pm2"),
      ...options.further,
    },
  };
}

/** @param options   `folder`: where it keeps its state; `vars`: what the configuration doesn't declare */
export function edgeCommand({
  folder,
  config,
  entry,
  port,
  envFile,
  vars = {},
}: {
  folder: string;
  config: string;
  entry: string | null;
  port: number;
  envFile: string;
  vars?: Record<string, string>;
}): Command {
  const args = [
    join(ROOT, "node_modules/wrangler/bin/wrangler.js"),
    "dev",
    ...(entry === null ? [] : [entry]),
    ...flags({
      "--config": config,
      "--env-file": envFile,
      "--ip": "127.0.0.1",
      "--port": port,
      "--inspector-port": 0,
      "--persist-to": join(folder, "state"),
    }),
    ...Object.entries(vars).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
    // The Worker sees the host that was asked for, not the public one of its route: the development keys
    // work on a loopback host only, and links lead back here.
    "--infer-origin-from-routes=false",
    "--show-interactive-dev-session=false",
  ];
  return {
    command: PROJECT_NODE,
    args,
    env: {
      ...inherited(process.env),
      ...OFFLINE,
      ISHA_ASSETS: "built",
      // No colours, questions or key bindings.
      CI: "1",
      NO_COLOR: "1",
      // wrangler lists a machine's running Workers here; two copies of ours must not find each other.
      WRANGLER_REGISTRY_PATH: join(folder, "registry"),
      XDG_CONFIG_HOME: join(folder, "config"),
    },
  };
}

/** A command line's flags: `true` stands alone, `false` and `undefined` are left out. */
function flags(wanted: Record<string, string | number | boolean | undefined>) {
  return Object.entries(wanted).flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [flag] : [flag, String(value)];
  });
}
