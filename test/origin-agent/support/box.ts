// Starts a box for tests: simulated llama-servers of a test fleet, and a real agent in front of them. Results don't
// depend on the machine's speed: probes wait as long as a test does, and silence toward clients is measured by a
// clock that moves only when the test moves it.
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { createAgent, type Agent } from "../../../origin-agent/agent.ts";
import { countTokens } from "../../../origin-agent/probes/llama.ts";
import type { Pm2Probe } from "../../../origin-agent/probes/pm2.ts";
import { openUpstreams } from "../../../origin-agent/servers/upstream-sockets.ts";
import type { Served, UsageJournal } from "../../../origin-agent/usage/journal.ts";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { DIALECTS } from "../../../shared/dialects.ts";
import { defineFleet, type Box, type Capability, type FleetConfig } from "../../../shared/fleet.ts";
import type { CallEnd } from "../../../shared/usage.ts";
import type { BoxCommand, EdgeFrame } from "../../../shared/wire.ts";
import { fleetInput } from "../../shared/support/fleet-input.ts";
import { switchDefaults, type Switches } from "../../sim/llama/switches.ts";
import { startLlamaServer, type SimulatedServer, type State } from "../../sim/start.ts";
import { until, WAIT_MS } from "../../support/until.ts";

export const BOX_SECRET = "the-secret-of-the-tests";
export const LLAMA_API_KEY = "the-key-of-the-tests";

/** The port that test calls request, its replica, and a server of another model. */
export const WANTED = 9101;
export const REPLICA = 9102;
export const OTHER = 9103;

export function testFleet(): FleetConfig {
  return defineFleet(fleetInput());
}

export function testBox(): Box {
  const [box] = testFleet().boxes;
  if (box === undefined) throw new Error("the fleet of these tests has a box");
  return box;
}

/** The agent's waiting calls, as its metrics count them. */
export const queuedCalls = ({ live }: Pick<TestAgent, "live">): number =>
  Object.values(live.dispatch.waiting()).reduce((sum, count) => sum + count, 0);

/** A simulated server at full speed; `reset` restores this. */
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

/** The calls that a simulator received, without the agent's own probes. */
export async function callsOf(simulator: SimulatedServer): Promise<State["received"]> {
  return (await simulator.state()).received.filter(({ path }) => path === DIALECTS.chat.path);
}

/** The ends of these calls. */
export async function endsOf(simulator: SimulatedServer): Promise<State["finished"]> {
  return (await simulator.state()).finished.filter(({ route }) => route === DIALECTS.chat.path);
}

/** Resets a simulator for the next test: all switches off, no recorded calls, and ready. */
export async function reset(simulator: SimulatedServer): Promise<void> {
  await simulator.set({ ...switchDefaults(), ...QUICK });
  // Not kept alive: it would count as one of the server's open connections.
  const headers = { connection: "close" };
  await until(async () => (await fetch(`${simulator.url}/health`, { headers })).ok);
  await simulator.until((state) => state.generating === 0 && state.deferred === 0);
  await simulator.forget();
}

export interface TestAgent {
  readonly port: number;
  /** The agent's log lines. */
  readonly log: readonly string[];
  /** The log lines of ended calls. */
  calls(): Readonly<Record<string, unknown>>[];
  readonly bodies: Agent["bodies"];
  readonly live: Agent["live"];
  readonly metrics: Agent["metrics"];
  /** The usage records, in the order in which their calls were dispatched. */
  readonly booked: readonly Booked[];
  /** Passes on a command as if from the edge; each is newer than the one before. */
  command(command: BoxCommand | Extract<EdgeFrame, { t: "revoke" }>): void;
  drain(): void;
  /** Moves the clock of the calls: of their silence, their queue times and the retry budget. */
  later(ms: number): void;
  /** Moves the clock of the servers' health and slots. */
  serversLater(ms: number): void;
  /** Resolves when every started call has been booked. */
  allBooked(): Promise<unknown>;
  /**
   * Waits until the agent reports these servers as usable with all slots free. From then on no earlier probe is
   * running, the agent sends no one-token probe call for a minute, and a minute's retries are left.
   */
  settled(...ports: number[]): Promise<void>;
  close(): Promise<void>;
}

const MINUTE_MS = 60_000;

export interface Booked {
  readonly start: CallStart;
  end: CallEnd | null;
  /** The server that it is booked under. */
  served: Served;
}

type CallStart = Parameters<UsageJournal["start"]>[0];

/** A journal that keeps its records in memory and sends none. */
function memoryJournal(booked: Booked[]): UsageJournal {
  return {
    state: { state: "ok", reason: null, lost: 0 },
    start: (start, onStored) => {
      const record: Booked = { start, end: null, served: start };
      booked.push(record);
      if (onStored !== undefined) void endOfTurn().then(onStored);
      return (end, served = start) => {
        if (end === null) booked.splice(booked.indexOf(record), 1);
        else Object.assign(record, { end, served });
      };
    },
    adopt: () => Promise.resolve([]),
    unacknowledged: () => Promise.resolve(null),
    acknowledge: () => Promise.resolve(),
    sync: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/**
 * Starts the agent in this process with its real parts, but no GPU, PM2 or link, and a journal in memory.
 * @param listening the real port of each server; the others listen nowhere.
 */
export async function startAgent(
  listening: Readonly<Record<number, number>>,
  other: {
    readonly maxRetainedBytes?: number;
    readonly queueSharePerKey?: number;
    readonly llamaApiKey?: string;
    readonly healthTimeoutMs?: number;
    readonly pm2?: Pick<Pm2Probe, "list" | "restart">;
    readonly countTokens?: (text: string) => Promise<number | null>;
    /** What every server can do, instead of the fleet file's. */
    readonly capabilities?: readonly Capability[];
  } = {},
): Promise<TestAgent> {
  const { capabilities } = other;
  const servers = testBox().servers.map((server) =>
    capabilities === undefined ? server : { ...server, capabilities: [...capabilities] },
  );
  const box = { ...testBox(), servers };
  const lines: string[] = [];
  let serversAhead = 0;
  const clock = (): number => performance.now() + serversAhead;
  // A day ahead, so that no call's deadline passes by the dispatch's own clock.
  let commands = 0;
  let callsNow = clock() + 24 * 60 * MINUTE_MS;
  const fleet = testFleet();
  const named = Object.keys(listening).map(Number);
  // Nothing listens on port 1: connections to the other servers are refused, whatever else runs on this machine.
  const ports = box.servers.map(({ port }) => [port, listening[port] ?? 1] as const);
  const llamaApiKey = other.llamaApiKey ?? LLAMA_API_KEY;
  const upstreams = openUpstreams(box, {
    llamaApiKey,
    upstreamPorts: new Map(ports),
    simulatedPorts: new Set(named),
  });
  const booked: Booked[] = [];
  const { countTokens: counted } = other;
  const made = await createAgent({
    fleet: { ...fleet, queueSharePerKey: other.queueSharePerKey ?? fleet.queueSharePerKey },
    box,
    version: "1.2.3",
    epoch: "epoch-of-the-tests",
    upstreams,
    llamaApiKey,
    boxSecrets: [BOX_SECRET],
    edgeUrl: null,
    drainFile: null,
    journal: memoryJournal(booked),
    gpu: null,
    pm2: other.pm2 ?? null,
    isShared: () => false,
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    clock,
    callClock: () => callsNow,
    wallClock: () => Date.now(),
    random: Math.random,
    healthTimeoutMs: other.healthTimeoutMs ?? WAIT_MS,
    maxRetainedBytes: other.maxRetainedBytes,
    countTokens: (grant, text) =>
      counted?.(text) ?? countTokens(grant.upstream.origin, llamaApiKey, text, WAIT_MS),
  });
  const { server, live, bodies, metrics } = made;
  await made.start();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const agent: TestAgent = {
    port: (server.address() as AddressInfo).port,
    log: lines,
    calls: () =>
      lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ event }) => event === "call"),
    bodies,
    live,
    metrics,
    booked,
    command: (command) => {
      commands += 1;
      const isTimed = !("port" in command) && !("keyId" in command);
      made.commands.handle(isTimed ? { t: command.t, at: commands } : command);
    },
    drain: () => made.drain(),
    later: (ms) => {
      callsNow += ms;
    },
    serversLater: (ms) => {
      serversAhead += ms;
    },
    allBooked: () => made.booked(),
    settled: async (...of) => {
      agent.later(MINUTE_MS);
      for (const port of of.length > 0 ? of : named) {
        const one = live.servers.get(port);
        // A broken call makes the agent probe the server again; earlier probe results no longer count.
        one?.observe({ kind: "call", fate: "broken" });
        await until(() => {
          if (one === undefined || one.doubted) return false;
          // Tokens prove that the server decodes, so the agent needs no probe call.
          one.observe({ kind: "tokens" });
          return one.usable && one.slots.total > 0 && one.slots.free === one.slots.total;
        }).catch((cause: unknown) => {
          throw new Error(`${port} never settled: ${JSON.stringify([one?.view(), one?.slots])}`, { cause });
        });
      }
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await made.stop();
      await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    },
  };
  return agent;
}
