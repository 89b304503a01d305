// The whole product on this machine: llama-servers (simulated, or real ones that run already), an agent for
// each box, the edge under `wrangler dev`. Starts it, hands out what tests and people need, ends all of it.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { FleetConfig } from "../../shared/fleet.ts";
import { ROOT, SHIPPED_FLEET } from "../paths.ts";
import { agentCommand, simulatorCommand, type Pace } from "./commands.ts";
import { startEdge } from "./edge.ts";
import { firstFree, freePort, withPort, type PortRequest } from "./ports.ts";
import { ProgramSet } from "./program-set.ts";
import { guardFolder } from "./program.ts";
import { realServerAt } from "./real-servers.ts";
import {
  EDGE,
  READY_MS,
  type BoxHandle,
  type Run,
  type ServerHandle,
  type Stack,
  type StackOptions,
} from "./run.ts";

const AGENT_GRACE_MS = 3_000;

/** @throws Error that names the part that failed, with its last lines; by then everything has been ended */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const fleetFile = resolve(options.fleetFile ?? SHIPPED_FLEET);
  const fleet = await loadFleet(fleetFile);
  const { onLine, onExit } = options;
  const run: Run = {
    options,
    fleet,
    fleetFile,
    folder: await makeFolder(),
    programs: new ProgramSet({ cwd: ROOT, onLine, onExit }),
    boxSecret: options.boxSecret ?? randomBytes(32).toString("hex"),
    llamaApiKey: options.llamaApiKey ?? randomBytes(16).toString("hex"),
    boxes: [],
    edgePort: 0,
  };
  let stopping: Promise<void> | null = null;
  const stop = () => (stopping ??= endAll(run));
  const onAbort = () => void stop();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    options.signal?.throwIfAborted();
    run.boxes = await planBoxes(run);
    await startSimulators(run);
    // Agents get the edge's address before it listens: they dial until it does.
    if (options.edge !== false) run.edgePort = await plannedPort(options.edgePort ?? "free");
    if (options.agents !== false) await startAgents(run);
    const edgeUrl = options.edge === false ? "" : await startFirstEdge(run);
    return handles(run, edgeUrl, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @throws Error that states what is wrong with the file, in the words of `defineFleet` */
export async function loadFleet(file: string): Promise<FleetConfig> {
  if (!existsSync(file)) throw new Error(`There is no fleet file ${file}.`);
  const module = await import(/* @vite-ignore */ pathToFileURL(file).href);
  if (!Array.isArray(module.default?.boxes)) {
    throw new Error(`${file} needs \`export default defineFleet({…})\`, as fleet.config.ts does.`);
  }
  return module.default;
}

function handles(run: Run, edgeUrl: string, stop: () => Promise<void>): Stack {
  const { fleet, programs, boxes, boxSecret, llamaApiKey } = run;
  return {
    fleet,
    edgeUrl,
    boxSecret,
    llamaApiKey,
    boxes,
    stop,
    logs: (name) => programs.get(name).lines(),
    async killServer(port, signal = "SIGKILL") {
      const { box, server } = findServer(boxes, port);
      if (!server.simulated) throw new Error(`${port} is a real llama-server; it isn't ours to end`);
      await programs.signal(serverName(box.name, server.port), signal);
    },
    async startServer(port, pace) {
      const { box, server } = findServer(boxes, port);
      await startSimulator(run, box, server, pace);
    },
    restartAgent: (name, { graceMs = AGENT_GRACE_MS } = {}) =>
      restartAgent(run, boxNamed(run, name), graceMs),
    killAgent: (name) => programs.signal(agentName(boxNamed(run, name).name), "SIGKILL"),
    startAgent: (name) => startAgent(run, boxNamed(run, name), portOf(boxNamed(run, name).agentUrl)),
    stopEdge: () => programs.signal(EDGE, "SIGKILL"),
    async startEdge() {
      await startEdge(run, run.edgePort);
    },
  };
}

function boxNamed({ boxes }: Run, name: string) {
  const box = boxes.find((box) => box.name === name);
  if (box === undefined) throw new Error(`there is no box "${name}"`);
  return box;
}

async function restartAgent(run: Run, box: BoxHandle, graceMs: number) {
  await run.programs.end(agentName(box.name), graceMs);
  await startAgent(run, box, portOf(box.agentUrl));
}

async function endAll({ programs, folder }: Run) {
  await programs.endAll();
  await rm(folder, { recursive: true, force: true });
}

/** Inside the tree, so that a generated entry finds the project's packages. */
async function makeFolder() {
  const parent = join(ROOT, ".wrangler");
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, "stack-"));
  guardFolder(folder);
  return folder;
}

async function planBoxes({ options, fleet, llamaApiKey }: Run): Promise<BoxHandle[]> {
  const taken = new Set();
  /** Boxes of one fleet may use the same ports, and here there is one machine: the first box gets it. */
  const isReal = async (port: number) => {
    if (options.real !== true || taken.has(port)) return false;
    const found = await realServerAt(port, llamaApiKey);
    if (found === "locked") {
      throw new Error(
        `The llama-server on port ${port} wants another API key: run this with LLAMA_API_KEY=<what it was started with>.`,
      );
    }
    if (found === "usable") taken.add(port);
    return found === "usable";
  };
  const boxes: BoxHandle[] = [];
  for (const { name, servers } of fleet.boxes) {
    const handles = servers.map(async ({ port, model }) => {
      const simulated = !(await isReal(port));
      return { port, model, url: simulated ? "" : loopback(port), controlUrl: null, pid: null, simulated };
    });
    boxes.push({ name, agentUrl: "", agentPid: -1, servers: await Promise.all(handles) });
  }
  return boxes;
}

async function startSimulators(run: Run) {
  const all = run.boxes.flatMap((box) => box.servers.map((server) => ({ box, server })));
  const simulated = all.filter(({ server }) => server.simulated);
  if (simulated.length === 0) return;
  run.options.onProgress?.(
    `starting ${simulated.length} simulated llama-server${simulated.length > 1 ? "s" : ""}`,
  );
  await writeFile(keyFile(run), `${run.llamaApiKey}\n`, { mode: 0o600 });
  await Promise.all(simulated.map(({ box, server }) => startSimulator(run, box, server)));
}

/** On free ports the first time, on the same ones after that. */
async function startSimulator(run: Run, box: BoxHandle, handle: ServerHandle, further: Pace = {}) {
  const name = serverName(box.name, handle.port);
  const described = run.fleet.boxes.find(({ name }) => name === box.name)?.servers;
  const server = described?.find(({ port }) => port === handle.port);
  if (server === undefined || !handle.simulated || handle.pid !== null) {
    throw new Error(`${name} can't be started: it runs, or is none of ours`);
  }
  const { simulator, perServer } = run.options;
  const own = paceOf(simulator, perServer?.[handle.port] ?? perServer?.[`${box.name}:${handle.port}`]);
  const pace = paceOf(own, further);
  const launch = async (port: number) => {
    const controlPort = handle.controlUrl === null ? await freePort() : portOf(handle.controlUrl);
    const command = simulatorCommand({ server, keyFile: keyFile(run), port, controlPort, pace });
    await run.programs.launch(name, command, async (program) => {
      await program.waitFor((line) => jsonLine(line)?.["sim"] === "llama-server" || undefined, READY_MS);
      handle.url = loopback(port);
      handle.controlUrl = loopback(controlPort);
      handle.pid = program.pid;
      void program.exited.then(() => (handle.pid = null));
    });
  };
  await withPort(handle.url === "" ? "free" : portOf(handle.url), launch, says("EADDRINUSE"));
}

function paceOf(general: Pace = {}, special: Pace = {}): Pace {
  const switches = { ...general.switches, ...special.switches };
  return { ...general, ...special, ...(Object.keys(switches).length > 0 ? { switches } : {}) };
}

async function startAgents(run: Run) {
  const { boxes, options } = run;
  options.onProgress?.(
    `starting the agent${boxes.length > 1 ? "s" : ""} of ${boxes.map(({ name }) => name).join(", ")}`,
  );
  const start = (box: BoxHandle, request: PortRequest) =>
    withPort(request, (port) => startAgent(run, box, port), says("EADDRINUSE"));
  await Promise.all(boxes.map((box, index) => start(box, (index === 0 && options.agentPort) || "free")));
}

async function startAgent(run: Run, box: BoxHandle, port: number) {
  const { fleetFile, boxSecret, llamaApiKey } = run;
  const { agentEnv = {} } = run.options;
  const command = agentCommand({
    fleetFile,
    box: box.name,
    port,
    boxSecret,
    llamaApiKey,
    upstreamPorts: Object.fromEntries(box.servers.map(({ port, url }) => [port, portOf(url)])),
    stateFolder: run.folder,
    simulatedPorts: box.servers.filter(({ simulated }) => simulated).map(({ port }) => port),
    edgeUrl: run.edgePort === 0 ? "off" : loopback(run.edgePort),
    further: typeof agentEnv === "function" ? agentEnv(box.name) : agentEnv,
  });
  await run.programs.launch(agentName(box.name), command, async (program) => {
    await program.waitFor((line) => jsonLine(line)?.["event"] === "listening" || undefined, READY_MS);
    box.agentUrl = loopback(port);
    box.agentPid = program.pid;
  });
}

async function plannedPort(request: PortRequest): Promise<number> {
  if (request === "free") return freePort();
  return typeof request === "number" ? request : firstFree(request.from);
}

/** @returns its URL */
async function startFirstEdge(run: Run): Promise<string> {
  const { options, boxes } = run;
  options.onProgress?.("starting the edge");
  const isFixed = typeof options.edgePort === "number";
  const launch = async (port: number) => {
    if (port !== run.edgePort && options.agents !== false) {
      // Another program took the planned port meanwhile: the agents need the new one.
      run.edgePort = port;
      await Promise.all(boxes.map((box) => restartAgent(run, box, AGENT_GRACE_MS)));
    }
    run.edgePort = port;
    return startEdge(run, port);
  };
  return withPort(isFixed ? run.edgePort : { from: run.edgePort }, launch, says("Address already in use"));
}

function findServer(boxes: BoxHandle[], wanted: number | string) {
  for (const box of boxes) {
    for (const server of box.servers) {
      if (String(wanted) === String(server.port) || wanted === `${box.name}:${server.port}`)
        return { box, server };
    }
  }
  throw new Error(`there is no server ${wanted} in this stack`);
}

function jsonLine(line: string): Record<string, unknown> | null {
  if (!line.startsWith("{")) return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

const loopback = (port: number) => `http://127.0.0.1:${port}`;
const portOf = (url: string) => (url === "" ? 0 : Number(new URL(url).port));
const keyFile = ({ folder }: Run) => join(folder, "llama-api-key");
const serverName = (box: string, port: number) => `server ${box}:${port}`;
const agentName = (box: string) => `agent ${box}`;
const says = (words: string) => (error: unknown) => error instanceof Error && error.message.includes(words);
