// Makes a stack behave like a box, for `npm start`: a simulated card, and a stand-in for PM2 that starts killed processes
// again, both where the agents look for them. Tests' stacks have neither.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Server as Socket } from "node:net";
import { PROJECT_NODE, ROOT } from "../paths.ts";
import { guardFolder } from "../stack/program.ts";
import type { BoxHandle, ServerHandle, Stack } from "../stack/run.ts";
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { cardOf, loadMs, type CardServer } from "./card.ts";
import { listenAsPm2 } from "./pm2-socket.ts";
import { SupervisedProcess, type Managed } from "./supervisor.ts";

const CARD_MS = 1_000;
const SLOTS_MS = 500;
const NVIDIA_SMI_MS = 5_000;

export interface Demo {
  agentEnv: (box: string) => Record<string, string>;
  gpuSimulated: boolean;
  /** Call it once the stack runs. */
  attach: (stack: Stack) => void;
  /** A program of the stack ended on its own. @returns when it is started again; null if it isn't */
  exited: (name: string) => number | null;
  end: () => Promise<void>;
}

interface DemoOptions {
  fleet: FleetConfig;
  /** Use the machine's nvidia-smi if it works. */
  real: boolean;
  /** A killed program runs again. */
  onStarted: (name: string) => void;
}

export async function openDemo({ fleet, real, onStarted }: DemoOptions): Promise<Demo> {
  // Not in the tree: a socket's path may have about a hundred characters.
  const folder = await mkdtemp(join(tmpdir(), "isha-start-"));
  guardFolder(folder);
  const gpuSimulated = !(real && (await hasNvidiaSmi()));
  const processes = new Map<string, SupervisedProcess>();
  const sockets = await Promise.all(fleet.boxes.map(({ name }) => openBox(folder, name, processes)));
  let timer: NodeJS.Timeout | undefined;
  return {
    gpuSimulated,
    agentEnv: (box) => ({
      PM2_HOME: join(folder, box),
      ...(gpuSimulated
        ? {
            NVIDIA_SMI: JSON.stringify([PROJECT_NODE, join(ROOT, "test/sim/nvidia-smi.ts")]),
            NVIDIA_SMI_SIM: cardFile(folder, box),
            SIMULATED_GPU: "1",
          }
        : {}),
    }),
    attach(stack) {
      supervise(stack, processes, onStarted);
      if (gpuSimulated) timer = keepCards(stack, folder, processes);
    },
    exited: (name) => processes.get(name)?.exited() ?? null,
    async end() {
      clearInterval(timer);
      for (const process of processes.values()) process.end();
      for (const socket of sockets) socket.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function hasNvidiaSmi() {
  return promisify(execFile)("nvidia-smi", ["-L"], { timeout: NVIDIA_SMI_MS }).then(
    () => true,
    () => false,
  );
}

/** PM2's socket of a box, and its card before the first server runs. */
async function openBox(
  folder: string,
  box: string,
  processes: ReadonlyMap<string, SupervisedProcess>,
): Promise<Socket> {
  await mkdir(join(folder, box));
  await writeFile(cardFile(folder, box), "{}");
  const own = () => [...processes].filter(([name]) => boxOf(name) === box).map(([, process]) => process);
  const find = (id: unknown) => {
    const process = own().find(({ pmId }) => pmId === id);
    if (process === undefined) throw new Error(`there is no process ${String(id)}`);
    return process;
  };
  return listenAsPm2(join(folder, box, "rpc.sock"), {
    getMonitorData: () => own().map((process) => process.listed()),
    restartProcessId: async (argument) => {
      const process = find((argument as { id?: unknown } | null)?.id);
      await process.restart();
      return process.listed();
    },
    stopProcessId: async (id) => {
      const process = find(id);
      await process.stop();
      return process.listed();
    },
  });
}

/** By the names that the stack gives its programs: `server box1:8085`, `agent box1`. */
const boxOf = (name: string) => name.replace(/^(agent|server) /, "").replace(/:\d+$/, "");

function supervise(
  stack: Stack,
  processes: Map<string, SupervisedProcess>,
  onStarted: (name: string) => void,
) {
  const add = (name: string, managed: Managed) => {
    const options = { now: () => performance.now(), after, onStarted: () => onStarted(name) };
    const process = new SupervisedProcess(managed, processes.size, options);
    processes.set(name, process);
    // It died while the edge was still starting.
    if (managed.pid() === null) process.exited();
  };
  for (const box of stack.boxes) {
    const described = stack.fleet.boxes.find(({ name }) => name === box.name);
    for (const server of box.servers) {
      if (server.simulated)
        add(`server ${box.name}:${server.port}`, managedServer(stack, box, server, described));
    }
    add(`agent ${box.name}`, {
      name: "isha-agent",
      port: () => null,
      pid: () => (isAlive(box.agentPid) ? box.agentPid : null),
      start: () => stack.startAgent(box.name),
      stop: () => stack.killAgent(box.name),
    });
  }
}

function managedServer(
  stack: Stack,
  box: BoxHandle,
  handle: ServerHandle,
  described: Box | undefined,
): Managed {
  const server = described?.servers.find(({ port }) => port === handle.port);
  if (server === undefined) throw new Error(`the fleet file has no server ${handle.port} on ${box.name}`);
  const key = `${box.name}:${handle.port}`;
  return {
    name: server.pm2,
    port: () => Number(new URL(handle.url).port),
    pid: () => handle.pid,
    // The first start loads at once, for the user who waits for it; this one takes the time that a real one takes.
    start: () => stack.startServer(key, { loadMs: loadMs(server) }),
    stop: () => stack.killServer(key, "SIGTERM"),
  };
}

function isAlive(pid: number) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function after(ms: number, run: () => void) {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** Writes each box's card every second. */
function keepCards(stack: Stack, folder: string, processes: ReadonlyMap<string, SupervisedProcess>) {
  const celsius = new Map<string, number>();
  const write = async (box: Box) => {
    const servers = await cardServers(stack, box, processes);
    const card = cardOf(box, servers, celsius.get(box.name) ?? null);
    celsius.set(box.name, card.celsius);
    const file = cardFile(folder, box.name);
    await writeFile(`${file}.new`, JSON.stringify(card.switches));
    await rename(`${file}.new`, file);
  };
  // The folder goes when the demo ends; a card written just then is of no interest.
  const writeAll = () => Promise.all(stack.fleet.boxes.map(write)).catch(() => {});
  void writeAll();
  return setInterval(() => void writeAll(), CARD_MS);
}

async function cardServers(
  stack: Stack,
  box: Box,
  processes: ReadonlyMap<string, SupervisedProcess>,
): Promise<CardServer[]> {
  const handles = stack.boxes.find(({ name }) => name === box.name)?.servers ?? [];
  const running = handles.map(async ({ port, pid, url }) => {
    const server = box.servers.find((server) => server.port === port);
    const process = processes.get(`server ${box.name}:${port}`);
    if (server === undefined || process === undefined || pid === null) return [];
    const loaded = process.restarts === 0 ? 1 : (performance.now() - process.startedAt) / loadMs(server);
    return [{ server, pid, loaded: Math.min(1, loaded), busySlots: await busySlots(url, stack.llamaApiKey) }];
  });
  return (await Promise.all(running)).flat();
}

async function busySlots(url: string, apiKey: string) {
  try {
    const response = await fetch(`${url}/slots`, {
      headers: { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(SLOTS_MS),
    });
    const slots = (await response.json()) as { is_processing?: boolean }[];
    return Array.isArray(slots) ? slots.filter((slot) => slot.is_processing === true).length : 0;
  } catch {
    return 0;
  }
}

const cardFile = (folder: string, box: string) => join(folder, box, "card.json");
