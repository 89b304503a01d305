// A box for tests: simulated llama-servers for a fleet of our own, and a real agent in front of them. No pace of the
// machine shows in what the agent does: its probes wait for as long as a test does, and silence toward clients is
// measured by a clock that stands still unless the test moves it.
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { callLog } from "../../origin-agent/call-log.ts";
import { boxHealth } from "../../origin-agent/health.ts";
import { LiveBox } from "../../origin-agent/live-box.ts";
import { Metrics } from "../../origin-agent/metrics.ts";
import { countTokens } from "../../origin-agent/probes/llama.ts";
import { RetryBudget } from "../../origin-agent/recovery.ts";
import { RetainedBodies } from "../../origin-agent/retained-bodies.ts";
import { createAgentServer } from "../../origin-agent/server.ts";
import { tokenCheck } from "../../origin-agent/token.ts";
import { openUpstreams } from "../../origin-agent/upstreams.ts";
import { callEnd } from "../../origin-agent/usage.ts";
import type { CallEnd } from "../../shared/usage.ts";
import { DIALECT_PATHS, type Call } from "../../shared/call-headers.ts";
import { defineFleet, type Box } from "../../shared/fleet.ts";
import { MAX_RETAINED_BYTES } from "../../shared/limits.ts";
import { fleetInput } from "../shared/fleet-input.ts";
import { switchDefaults, type Switches } from "../sim/llama/switches.ts";
import { startLlamaServer, type SimulatedServer, type State } from "../sim/start.ts";
import { until, WAIT_MS } from "../support/until.ts";

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

/** The calls a simulator got, without what the agent asks on its own. */
export async function callsOf(simulator: SimulatedServer): Promise<State["received"]> {
  return (await simulator.state()).received.filter(({ path }) => path === DIALECT_PATHS.chat);
}

/** What became of them. */
export async function endsOf(simulator: SimulatedServer): Promise<State["finished"]> {
  return (await simulator.state()).finished.filter(({ route }) => route === DIALECT_PATHS.chat);
}

/** All switches off, nothing remembered, and really ready: what a test begins with. */
export async function reset(simulator: SimulatedServer): Promise<void> {
  await simulator.set({ ...switchDefaults(), ...QUICK });
  // Not kept: it would be one of the server's open connections.
  const headers = { connection: "close" };
  await until(async () => (await fetch(`${simulator.url}/health`, { headers })).ok);
  await simulator.until((state) => state.generating === 0 && state.deferred === 0);
  await simulator.forget();
}

export interface TestAgent {
  readonly port: number;
  /** What the agent logged, as it was written. */
  readonly log: readonly string[];
  /** Its lines of calls that are over. */
  calls(): Readonly<Record<string, unknown>>[];
  readonly bodies: RetainedBodies;
  readonly live: LiveBox;
  readonly metrics: Metrics;
  /** What was booked, in order: who was given a call, and what came of it. */
  readonly booked: readonly Booked[];
  drain(): void;
  /** Moves the clock of the calls: of their silence, their queue times and the retry budget. */
  later(ms: number): void;
  /** Until every call that has begun is booked. */
  allBooked(): Promise<unknown>;
  /**
   * Waits until the agent knows those servers to be well and all of their slots free. From then on no earlier probe is
   * under way, the agent sends no one-token call of its own for a minute, and a minute's retries are left.
   */
  settled(...ports: number[]): Promise<void>;
  close(): Promise<void>;
}

const MINUTE_MS = 60_000;

export interface Booked {
  readonly call: Call;
  readonly port: number;
  end: CallEnd | null;
}

/**
 * The agent's own server in this process, with its real parts; no card, no PM2, no journal.
 * @param listening where each server of the box really listens; those not named listen nowhere.
 */
export async function startAgent(
  listening: Readonly<Record<number, number>>,
  other: {
    readonly maxRetainedBytes?: number;
    readonly llamaApiKey?: string;
    readonly isHeld?: () => boolean;
    readonly countTokens?: (text: string) => Promise<number | null>;
  } = {},
): Promise<TestAgent> {
  const box = testBox();
  const lines: string[] = [];
  const clock = (): number => performance.now();
  // A day ahead: the deadline of a call never comes before the dispatch's own clock is there.
  let callsNow = clock() + 24 * 60 * MINUTE_MS;
  const named = Object.keys(listening).map(Number);
  // Port 1 is nobody's: what isn't named is refused, whatever else runs on this machine.
  const ports = box.servers.map(({ port }) => [port, listening[port] ?? 1] as const);
  const llamaApiKey = other.llamaApiKey ?? LLAMA_API_KEY;
  const upstreams = openUpstreams(box, {
    llamaApiKey,
    upstreamPorts: new Map(ports),
    simulatedPorts: new Set(named),
  });
  const modelOf = (port: number): string | null => upstreams.get(port)?.server.model ?? null;
  const bodies = new RetainedBodies(other.maxRetainedBytes ?? MAX_RETAINED_BYTES);
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const metrics = new Metrics(
    box,
    box.servers.flatMap(({ agents }) => agents),
  );
  const live = new LiveBox({
    box,
    upstreams,
    llamaApiKey,
    healthTimeoutMs: WAIT_MS,
    gpu: null,
    pm2: null,
    onAbortProved: (port, tookMs) => metrics.abortProved(port, tookMs),
    isShared: () => Promise.resolve(false),
    log,
    clock,
  });
  metrics.observe(live, null);
  const booked: Booked[] = [];
  const made = createAgentServer({
    box: box.name,
    dispatch: live.dispatch,
    budget: new RetryBudget(),
    modelOf,
    countTokens: (grant, text) =>
      other.countTokens?.(text) ?? countTokens(grant.upstream.origin, llamaApiKey, text, WAIT_MS),
    isEdge: await tokenCheck([BOX_SECRET], box.name, "edge-to-agent"),
    bodies,
    control: {
      "/healthz": () =>
        Promise.resolve({
          contentType: "application/json; charset=utf-8",
          body: JSON.stringify(boxHealth(box.name, "1.2.3", live.servers, false)),
        }),
      "/metrics": async () => ({ contentType: metrics.contentType, body: await metrics.text() }),
    },
    guarded: {},
    isHeld: () => other.isHeld?.() ?? false,
    onDispatch: (call, port, bodyBytes) => {
      const entry: Booked = { call, port, end: null };
      booked.push(entry);
      return (report, ms) => {
        entry.end = callEnd(call, report, bodyBytes, ms);
      };
    },
    onEnd: (call, report, ms) => {
      metrics.ended(call, report, ms);
      log.info(callLog(call, report, ms));
    },
    log,
    clock: () => callsNow,
  });
  const { server } = made;
  live.start();
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
    drain: () => made.drain(),
    later: (ms) => {
      callsNow += ms;
    },
    allBooked: () => made.booked(),
    settled: async (...of) => {
      agent.later(MINUTE_MS);
      for (const port of of.length > 0 ? of : named) {
        const one = live.servers.get(port);
        // A call that breaks makes the agent ask for the server's health again: an answer from before counts no more.
        one?.hear({ kind: "call", fate: "broken" });
        await until(() => {
          if (one === undefined || one.doubted) return false;
          // Tokens prove that the server decodes: there is nothing left to find out with a call of its own.
          one.hear({ kind: "tokens" });
          return one.usable && one.slots.total > 0 && one.slots.free === one.slots.total;
        }).catch((cause: unknown) => {
          throw new Error(`${port} never settled: ${JSON.stringify([one?.view(), one?.slots])}`, { cause });
        });
      }
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await live.stop();
      await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    },
  };
  return agent;
}
