// A box under the real PM2, from the generated file: simulators in the place of the binary, an agent in
// cluster mode, a daemon of its own in a folder of its own.
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ecosystemText } from "../../../cli/generate/ecosystem.ts";
import shipped from "../../../fleet.config.ts";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";
import { freePort } from "../../../scripts/stack/ports.ts";
import wide from "../../fixtures/wide-fleet.ts";
import type { Switches } from "../../sim/llama/switches.ts";
import { readyPorts, type HarmedBox } from "./harmed-box.ts";
import { until } from "../../support/until.ts";

export interface Pm2App {
  readonly name: string;
  readonly pid: number;
  readonly status: string;
  readonly restarts: number;
}

export interface Pm2Box extends HarmedBox {
  readonly folder: string;
  pm2(...args: string[]): Promise<string>;
  /** Every process PM2 runs, those that drain among them. */
  apps(): Promise<Pm2App[]>;
  /** The pids of the servers' processes, by port. */
  pids(): Promise<ReadonlyMap<number, number>>;
  /** How long a server loads from its next start on, in milliseconds. At the box's own start they take none. */
  loadIn(port: number, ms: number): Promise<void>;
  /** Ends everything and removes the folder. */
  stop(): Promise<void>;
}

export interface Pm2BoxOptions {
  /** `shipped`: the project's own fleet file, two slots a server; `wide`: twice as many. */
  readonly fleet: keyof typeof FLEETS;
  readonly switches: Partial<Switches>;
  /** @param folder the box's own */
  readonly agentEnv?: (folder: string) => Readonly<Record<string, string>>;
}

const FLEETS = {
  shipped: { fleet: shipped, file: "fleet.config.ts" },
  wide: { fleet: wide, file: "test/fixtures/wide-fleet.ts" },
} as const;

const run = promisify(execFile);

export async function startPm2Box(options: Pm2BoxOptions): Promise<Pm2Box> {
  const { fleet, file: fleetFile } = FLEETS[options.fleet];
  const [box] = fleet.boxes;
  if (box === undefined) throw new Error("the fleet of these tests has a box");
  const folder = await mkdtemp(join(tmpdir(), "isha-e2e-pm2-"));
  const boxSecret = "a-box-secret-of-the-tests";
  const llamaApiKey = "a-llama-key-of-the-tests";
  const secret = (name: string, text: string): Promise<void> =>
    writeFile(join(folder, name), text, { mode: 0o600 });
  await secret("agent.env", `BOX_SECRET=${boxSecret}\nLLAMA_API_KEY=${llamaApiKey}\n`);
  await secret("llama-api-key", `${llamaApiKey}\n`);

  const { servers } = box;
  const agentPort = await freePort();
  const free = await Promise.all([...servers, ...servers].map(freePort));
  const ports = new Map(servers.map(({ port }, at) => [port, free[at] ?? 0]));
  const controls = new Map(servers.map(({ port }, at) => [port, free[servers.length + at] ?? 0]));
  const loadFile = (port: number): string => join(folder, `load-ms-${port}`);
  const loadIn = (port: number, ms: number): Promise<void> => writeFile(loadFile(port), String(ms));
  await Promise.all(servers.map(({ port }) => loadIn(port, 0)));
  const binary = join(folder, "llama-server");
  await writeFile(binary, BINARY);
  await chmod(binary, 0o755);
  const launcher = await ownLauncher(folder);
  const generated = ecosystemText(box, {
    root: ROOT,
    fleetFile: join(ROOT, fleetFile),
    agentEnv: {
      AGENT_PORT: String(agentPort),
      EDGE_URL: "off",
      ISHA_STATE: join(folder, "state"),
      ...options.agentEnv?.(folder),
    },
    simulated: {
      command: [binary],
      ports,
      extra: ({ port }) => [
        "--sim-control-port",
        String(controls.get(port)),
        "--sim-switches",
        JSON.stringify(options.switches),
        loadFile(port),
      ],
    },
  });
  const file = join(folder, "ecosystem.config.cjs");
  await writeFile(
    file,
    generated.replaceAll('join(root, "origin-agent/llama-log/launch-llama.sh")', JSON.stringify(launcher)),
  );

  const environment = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    PM2_HOME: join(folder, "pm2"),
    ISHA_SECRETS: folder,
    PM2_DISABLE_VERSION_CHECK: "true",
  };
  const pm2 = async (...args: string[]): Promise<string> => {
    const program = join(ROOT, "node_modules/pm2/bin/pm2");
    return (await run(PROJECT_NODE, [program, ...args], { env: environment, maxBuffer: 1 << 24 })).stdout;
  };
  const apps = async (): Promise<Pm2App[]> => {
    const listing = await pm2("jlist");
    // Only what is wanted here is read: the listing holds environments.
    const listed = JSON.parse(listing.slice(listing.indexOf("[{"))) as {
      name: string;
      pid: number;
      pm2_env: { status: string; restart_time: number };
    }[];
    return listed.map(({ name, pid, pm2_env: { status, restart_time: restarts } }) => ({
      name,
      pid,
      status,
      restarts,
    }));
  };
  const url = (port: number): string => `http://127.0.0.1:${ports.get(port)}`;
  const pids = async (): Promise<Map<number, number>> => {
    const online = (await apps()).filter(({ status }) => status === "online");
    return new Map(
      servers.flatMap(({ port, pm2: name }) =>
        online.filter((app) => app.name === name).map(({ pid }): [number, number] => [port, pid]),
      ),
    );
  };
  const made: Pm2Box = {
    folder,
    agentUrl: `http://127.0.0.1:${agentPort}`,
    box: box.name,
    boxSecret,
    llamaApiKey,
    ports: servers.map(({ port }) => port),
    url,
    controlUrl: (port) => `http://127.0.0.1:${controls.get(port)}`,
    signal: async (port, signal) => {
      const pid = (await pids()).get(port);
      if (pid === undefined) throw new Error(`${port} isn't running`);
      process.kill(pid, signal);
      return pid;
    },
    pm2,
    apps,
    pids,
    loadIn,
    async stop() {
      await pm2("kill");
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await pm2("--silent", "start", file);
    await until(() => allUp(made), "agent and servers are up");
  } catch (error) {
    await made.stop();
    throw error;
  }
  return made;
}

/** What the box's own llama-server is here: a simulator that reads in its last argument's file how long to load. */
const BINARY = `#!/usr/bin/env bash
exec ${PROJECT_NODE} ${join(ROOT, "test/sim/llama-server.ts")} "\${@:1:$#-1}" --sim-load-ms "$(<"\${@: -1}")"
`;

/** Every server is in use by the agent. */
export async function allUp(box: Pm2Box): Promise<boolean> {
  return (await readyPorts(box)).length === box.ports.length;
}

/**
 * The launch script on its own path: it lets one server load at a time by a lock on itself, and a box of another test
 * must not wait for this one's servers.
 */
async function ownLauncher(folder: string): Promise<string> {
  const own = join(folder, "launch");
  await mkdir(own);
  const script = join(own, "launch-llama.sh");
  await copyFile(join(ROOT, "origin-agent/llama-log/launch-llama.sh"), script);
  await symlink(join(ROOT, "origin-agent/llama-log/filter.ts"), join(own, "filter.ts"));
  return script;
}
