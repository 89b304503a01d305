// The whole product on this machine: llama-servers (simulated, or real ones that run already), an agent for
// each box, the edge under `wrangler dev`. Starts it, hands out what tests and people need, ends all of it.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { buildConsole } from "./build-console.mjs";
import { agentCommand, edgeCommand, simulatorCommand } from "./commands.mjs";
import { configText, entryText, envFileText, sortVariables } from "./edge-files.mjs";
import { ROOT, SHIPPED_FLEET } from "./paths.mjs";
import { anyFree, firstFree, withPort } from "./ports.mjs";
import { ProgramSet } from "./program-set.mjs";
import { failureText, guardFolder } from "./program.mjs";
import { realServerAt } from "./real-servers.mjs";

/** Far beyond what a start takes on a starved machine: only a hang reaches it. */
const READY_MS = 120_000;
const LIVEZ_POLL_MS = 50;
const AGENT_GRACE_MS = 3_000;

/** @typedef {import("../shared/fleet.ts").FleetConfig} Fleet */
/** @typedef {import("../shared/fleet.ts").Server} FleetServer */
/** @typedef {import("./commands.mjs").Pace} Pace */
/** @typedef {import("./ports.mjs").PortRequest} PortRequest */
/** @typedef {import("./program-set.mjs").UnexpectedExit} UnexpectedExit */
/**
 * @typedef {object} StackOptions
 * @property {string} [fleetFile] the project's own if not given
 * @property {string} [workerEntry] wrangler.toml's, or for another fleet file one made from it
 * @property {boolean} [edge] false: none is started
 * @property {boolean} [agents] false: none is started
 * @property {PortRequest} [edgePort] any free one if not given
 * @property {PortRequest} [agentPort] of the first box; any free one if not given
 * @property {boolean} [real] use llama-servers that answer on the fleet's ports
 * @property {boolean} [devKeys] false: the edge doesn't know them
 * @property {Pace} [simulator] for every simulated server
 * @property {Record<string, Pace>} [perServer] on top of it, by port or `box:port`
 * @property {string} [boxSecret]
 * @property {string} [llamaApiKey]
 * @property {Record<string, string>} [vars] further variables of the Worker
 * @property {Record<string, string>} [boxOrigins] where the edge finds boxes, other than their agents here
 * @property {Record<string, string>} [agentEnv] further environment of every agent
 * @property {(line: string) => void} [onProgress]
 * @property {(name: string, line: string) => void} [onLine] everything the programs say
 * @property {(exit: UnexpectedExit) => void} [onExit] a program exited unexpectedly
 * @property {AbortSignal} [signal] gives up and ends everything
 */
/** @typedef {{ port: number, url: string, controlUrl: string | null, pid: number | null, simulated: boolean, model: string }} ServerHandle */
/** @typedef {{ name: string, agentUrl: string, agentPid: number, servers: ServerHandle[] }} BoxHandle */
/**
 * @typedef {object} Stack
 * @property {Fleet} fleet
 * @property {string} edgeUrl empty without an edge
 * @property {string} boxSecret
 * @property {string} llamaApiKey
 * @property {BoxHandle[]} boxes
 * @property {(name: string) => string[]} logs last lines of `edge`, `agent <box>` or `server <box>:<port>`
 * @property {(port: number | string, signal?: NodeJS.Signals) => Promise<void>} killServer by port or `box:port`
 * @property {(port: number | string) => Promise<void>} startServer restarts a killed one on its port
 * @property {(box: string, options?: { graceMs?: number }) => Promise<void>} restartAgent on the same port
 * @property {(box: string) => Promise<void>} killAgent as by kill -9
 * @property {(box: string) => Promise<void>} startAgent restarts a killed one on its port
 * @property {() => Promise<void>} stopEdge as by kill -9
 * @property {() => Promise<void>} startEdge restarts the stopped one on its port, with its stored state
 * @property {() => Promise<void>} stop
 */
/** What the parts of one stack share. @typedef {{ options: StackOptions, fleet: Fleet, fleetFile: string, folder: string, programs: ProgramSet, boxSecret: string, llamaApiKey: string, boxes: BoxHandle[], edgePort: number }} Run `edgePort`: 0 if there is none */

/**
 * @param {StackOptions} options
 * @returns {Promise<Stack>}
 * @throws Error that names the part that failed, with its last lines; by then everything has been ended
 */
export async function startStack(options = {}) {
  const fleetFile = resolve(options.fleetFile ?? SHIPPED_FLEET);
  const fleet = await loadFleet(fleetFile);
  const { onLine, onExit } = options;
  /** @type {Run} */
  const run = {
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
  /** @type {Promise<void> | null} */
  let stopping = null;
  const stop = () => (stopping ??= endAll(run));
  const onAbort = () => void stop();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    options.signal?.throwIfAborted();
    run.boxes = await planBoxes(run);
    await startSimulators(run);
    // Agents get the edge's address before it listens: they dial until it does.
    if (options.edge !== false) run.edgePort = await plannedPort(options.edgePort ?? 0);
    if (options.agents !== false) await startAgents(run);
    const edgeUrl = options.edge === false ? "" : await startFirstEdge(run);
    return handles(run, edgeUrl, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * @param {string} file
 * @returns {Promise<Fleet>}
 * @throws Error with what is wrong with it, as `defineFleet` words it
 */
export async function loadFleet(file) {
  if (!existsSync(file)) throw new Error(`There is no fleet file ${file}.`);
  const module = await import(/* @vite-ignore */ pathToFileURL(file).href);
  if (!Array.isArray(module.default?.boxes)) {
    throw new Error(`${file} must say \`export default defineFleet({…})\`, as fleet.config.ts does.`);
  }
  return module.default;
}

/** @param {Run} run @param {string} edgeUrl @param {() => Promise<void>} stop @returns {Stack} */
function handles(run, edgeUrl, stop) {
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
    async startServer(port) {
      const { box, server } = findServer(boxes, port);
      await startSimulator(run, box, server);
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

/** @param {Run} run @param {string} name */
function boxNamed({ boxes }, name) {
  const box = boxes.find((box) => box.name === name);
  if (box === undefined) throw new Error(`there is no box "${name}"`);
  return box;
}

/** @param {Run} run @param {BoxHandle} box @param {number} graceMs */
async function restartAgent(run, box, graceMs) {
  await run.programs.end(agentName(box.name), graceMs);
  await startAgent(run, box, portOf(box.agentUrl));
}

/** @param {Run} run */
async function endAll({ programs, folder }) {
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

/** @param {Run} run @returns {Promise<BoxHandle[]>} */
async function planBoxes({ options, fleet, llamaApiKey }) {
  const taken = new Set();
  /** Boxes of one fleet may use the same ports, and here there is one machine: the first box gets it. */
  const isReal = async (/** @type {number} */ port) => {
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
  /** @type {BoxHandle[]} */
  const boxes = [];
  for (const { name, servers } of fleet.boxes) {
    const handles = servers.map(async ({ port, model }) => {
      const simulated = !(await isReal(port));
      return { port, model, url: simulated ? "" : loopback(port), controlUrl: null, pid: null, simulated };
    });
    boxes.push({ name, agentUrl: "", agentPid: -1, servers: await Promise.all(handles) });
  }
  return boxes;
}

/** @param {Run} run */
async function startSimulators(run) {
  const all = run.boxes.flatMap((box) => box.servers.map((server) => ({ box, server })));
  const simulated = all.filter(({ server }) => server.simulated);
  if (simulated.length === 0) return;
  run.options.onProgress?.(
    `starting ${simulated.length} simulated llama-server${simulated.length > 1 ? "s" : ""}`,
  );
  await writeFile(keyFile(run), `${run.llamaApiKey}\n`, { mode: 0o600 });
  await Promise.all(simulated.map(({ box, server }) => startSimulator(run, box, server)));
}

/** On any free ports the first time, on the same ones after that. @param {Run} run @param {BoxHandle} box @param {ServerHandle} handle */
async function startSimulator(run, box, handle) {
  const name = serverName(box.name, handle.port);
  const described = run.fleet.boxes.find(({ name }) => name === box.name)?.servers;
  const server = described?.find(({ port }) => port === handle.port);
  if (server === undefined || !handle.simulated || handle.pid !== null) {
    throw new Error(`${name} can't be started: it runs, or is none of ours`);
  }
  const { simulator, perServer } = run.options;
  const pace = paceOf(simulator, perServer?.[handle.port] ?? perServer?.[`${box.name}:${handle.port}`]);
  const port = portOf(handle.url);
  const controlPort = portOf(handle.controlUrl ?? "");
  const command = simulatorCommand({ server, keyFile: keyFile(run), port, controlPort, pace });
  await run.programs.launch(name, command, async (program) => {
    const ready = await program.waitFor((line) => {
      const said = jsonLine(line);
      return said?.["sim"] === "llama-server" ? said : undefined;
    }, READY_MS);
    handle.url = loopback(Number(ready["port"]));
    handle.controlUrl = loopback(Number(ready["control"]));
    handle.pid = program.pid;
    void program.exited.then(() => (handle.pid = null));
  });
}

/** @param {Pace} [general] @param {Pace} [special] @returns {Pace} */
function paceOf(general = {}, special = {}) {
  const switches = { ...general.switches, ...special.switches };
  return { ...general, ...special, ...(Object.keys(switches).length > 0 ? { switches } : {}) };
}

/** @param {Run} run */
async function startAgents(run) {
  const { boxes, options } = run;
  options.onProgress?.(
    `starting the agent${boxes.length > 1 ? "s" : ""} of ${boxes.map(({ name }) => name).join(", ")}`,
  );
  const start = (/** @type {BoxHandle} */ box, /** @type {PortRequest} */ request) =>
    withPort(request, (port) => startAgent(run, box, port), says("EADDRINUSE"));
  await Promise.all(boxes.map((box, index) => start(box, index === 0 ? (options.agentPort ?? 0) : 0)));
}

/** @param {Run} run @param {BoxHandle} box @param {number} port */
async function startAgent(run, box, port) {
  const { fleetFile, boxSecret, llamaApiKey } = run;
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
    further: run.options.agentEnv ?? {},
  });
  await run.programs.launch(agentName(box.name), command, async (program) => {
    const ready = await program.waitFor((line) => {
      const said = jsonLine(line);
      return said?.["event"] === "listening" ? said : undefined;
    }, READY_MS);
    box.agentUrl = loopback(Number(ready["port"]));
    box.agentPid = program.pid;
  });
}

/** @param {PortRequest} request @returns {Promise<number>} */
async function plannedPort(request) {
  if (typeof request === "number") return request === 0 ? anyFree() : request;
  return firstFree(request.from);
}

/** @param {Run} run @returns {Promise<string>} its URL */
async function startFirstEdge(run) {
  const { options, boxes } = run;
  options.onProgress?.("starting the edge");
  const isFixed = typeof options.edgePort === "number" && options.edgePort !== 0;
  const launch = async (/** @type {number} */ port) => {
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

/** @param {Run} run @param {number} port @returns {Promise<string>} its URL */
async function startEdge(run, port) {
  const { options, folder, boxes } = run;
  await buildConsole();
  const { config, entry } = await edgeSources(run);
  const envFile = join(folder, "edge.env");
  const agents = boxes
    .filter(({ agentUrl }) => agentUrl !== "")
    .map(({ name, agentUrl }) => [name, agentUrl]);
  const variables = {
    DEV_KEYS: options.devKeys === false ? "" : "1",
    BOX_SECRET: run.boxSecret,
    BOX_ORIGINS: JSON.stringify({ ...Object.fromEntries(agents), ...options.boxOrigins }),
    ...options.vars,
  };
  const { declared, vars } = sortVariables(await readFile(config, "utf8"), variables);
  await writeFile(envFile, envFileText(declared), { mode: 0o600 });
  const command = edgeCommand({ folder, config, entry, port, envFile, vars });
  return run.programs.launch(EDGE, command, async (program) => {
    const url = await program.waitFor((line) => /Ready on (http:\/\/[^\s/]+)/.exec(line)?.[1], READY_MS);
    await untilLive(url, program);
    return url;
  });
}

/** @param {Run} run @returns {Promise<{ config: string, entry: string | null }>} */
async function edgeSources({ options, fleetFile, folder }) {
  const config = join(ROOT, "wrangler.toml");
  if (options.workerEntry !== undefined) return { config, entry: resolve(options.workerEntry) };
  if (fleetFile === SHIPPED_FLEET) return { config, entry: null };
  const entryFile = join(ROOT, "worker", "index.ts");
  const main = join(folder, "index.ts");
  const files = { entryFile, shippedFleet: SHIPPED_FLEET, fleetFile };
  await writeFile(main, entryText(await readFile(entryFile, "utf8"), files));
  const generated = join(folder, "wrangler.toml");
  await writeFile(generated, configText(await readFile(config, "utf8"), { root: ROOT, main }));
  return { config: generated, entry: null };
}

/** @param {string} url @param {import("./program.mjs").Program} program */
async function untilLive(url, program) {
  for (const deadline = performance.now() + READY_MS; performance.now() < deadline;) {
    if (!program.running()) break;
    const status = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(READY_MS) }).then(
      (response) => response.status,
      () => null,
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, LIVEZ_POLL_MS));
  }
  throw new Error(failureText("edge", "didn't answer /livez with 200", program.lines()));
}

/** @param {BoxHandle[]} boxes @param {number | string} wanted */
function findServer(boxes, wanted) {
  for (const box of boxes) {
    for (const server of box.servers) {
      if (String(wanted) === String(server.port) || wanted === `${box.name}:${server.port}`)
        return { box, server };
    }
  }
  throw new Error(`there is no server ${wanted} in this stack`);
}

/** @param {string} line @returns {Record<string, unknown> | null} */
function jsonLine(line) {
  if (!line.startsWith("{")) return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

const EDGE = "edge";
const loopback = (/** @type {number} */ port) => `http://127.0.0.1:${port}`;
const portOf = (/** @type {string} */ url) => (url === "" ? 0 : Number(new URL(url).port));
const keyFile = (/** @type {Run} */ { folder }) => join(folder, "llama-api-key");
const serverName = (/** @type {string} */ box, /** @type {number} */ port) => `server ${box}:${port}`;
const agentName = (/** @type {string} */ box) => `agent ${box}`;
const says = (/** @type {string} */ words) => (/** @type {unknown} */ error) =>
  error instanceof Error && error.message.includes(words);
