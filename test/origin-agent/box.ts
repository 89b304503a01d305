// A box for tests: simulated llama-servers for a fleet of our own, and a real agent in front of them.
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { boxHealth } from "../../origin-agent/health.ts";
import { RetainedBodies } from "../../origin-agent/retained-bodies.ts";
import { createAgentServer } from "../../origin-agent/server.ts";
import { tokenCheck } from "../../origin-agent/token.ts";
import { openUpstreams } from "../../origin-agent/upstreams.ts";
import { defineFleet, type Box } from "../../shared/fleet.ts";
import { MAX_RETAINED_BYTES } from "../../shared/limits.ts";
import { fleetInput } from "../shared/fleet-input.ts";
import { switchDefaults, type Switches } from "../sim/llama/switches.ts";
import { startLlamaServer, type SimulatedServer } from "../sim/start.ts";

export const BOX_SECRET = "the-secret-of-the-tests";
export const LLAMA_API_KEY = "the-key-of-the-tests";

/** The port that calls of these tests ask for, its replica, and a server of another model. */
export const WANTED = 9101;
export const REPLICA = 9102;
export const OTHER = 9103;

export function testBox(): Box {
  const [box] = defineFleet(fleetInput()).boxes;
  if (box === undefined) throw new Error("the fleet of these tests has a box");
  return box;
}

/** A simulated server as quick as it can be; `reset` brings it back to that. */
const QUICK: Partial<Switches> = { tokensPerSecond: 0, promptTokensPerSecond: 0 };

/** A simulated llama-server for one of the box's servers. */
export async function startSimulator(
  port: number,
  switches: Partial<Switches> = {},
): Promise<SimulatedServer> {
  const server = testBox().servers.find((candidate) => candidate.port === port);
  if (server === undefined) throw new Error(`the box of these tests has no port ${port}`);
  return startLlamaServer({
    alias: server.file,
    parallel: server.slots,
    context: server.slots * server.contextPerSlot,
    apiKey: LLAMA_API_KEY,
    flags: ["--no-cache-prompt", "--cache-ram", "0"],
    switches: { ...QUICK, ...switches },
  });
}

/** All switches off, nothing remembered, and really ready: what a test begins with. */
export async function reset(simulator: SimulatedServer): Promise<void> {
  await simulator.set({ ...switchDefaults(), ...QUICK });
  await until(async () => (await fetch(`${simulator.url}/health`)).ok);
  await simulator.until((state) => state.generating === 0 && state.deferred === 0);
  await simulator.forget();
}

/** Waits until something is so; what it throws meanwhile counts as not yet. */
export async function until(so: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const last = performance.now() + withinMs;
  for (;;) {
    const isSo = await Promise.resolve()
      .then(so)
      .catch(() => false);
    if (isSo) return;
    if (performance.now() > last) throw new Error(`it never came to be: ${so.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface TestAgent {
  readonly port: number;
  /** What the agent logged, as it was written. */
  readonly log: readonly string[];
  readonly bodies: RetainedBodies;
  close(): Promise<void>;
}

/**
 * The agent's own server in this process, with its real parts.
 * @param listening where each server of the box really listens; those not named listen nowhere.
 */
export async function startAgent(
  listening: Readonly<Record<number, number>>,
  other: { readonly maxRetainedBytes?: number; readonly llamaApiKey?: string } = {},
): Promise<TestAgent> {
  const box = testBox();
  const log: string[] = [];
  const clock = (): number => performance.now();
  const ports = Object.entries(listening).map(([port, real]) => [Number(port), real] as const);
  const upstreams = openUpstreams(box, {
    llamaApiKey: other.llamaApiKey ?? LLAMA_API_KEY,
    upstreamPorts: new Map(ports),
    simulatedPorts: new Set(ports.map(([port]) => port)),
  });
  const bodies = new RetainedBodies(other.maxRetainedBytes ?? MAX_RETAINED_BYTES);
  const server = createAgentServer({
    box: box.name,
    upstreams,
    isEdge: await tokenCheck([BOX_SECRET], box.name, "edge-to-agent"),
    health: boxHealth(box.name, "1.2.3", upstreams, clock),
    bodies,
    log: pino({ level: "debug" }, { write: (line: string) => void log.push(line) }),
    clock,
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    log,
    bodies,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    },
  };
}
