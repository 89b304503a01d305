// Wires the parts of the agent: servers, probes, journal, link and HTTP server. `main.ts` passes the real environment;
// tests pass their own parts. It reads no environment variables and decides nothing.
import { createHash } from "node:crypto";
import type { Logger } from "pino";
import { DEFAULT_AGENT, type Box, type FleetConfig } from "../shared/fleet.ts";
import { MAX_RETAINED_BYTES } from "../shared/limits.ts";
import { thrownName } from "../shared/errors.ts";
import { fleetText } from "../shared/wire.ts";
import { lateFailure } from "./calls/late-failure.ts";
import { PoisonedBodies } from "./calls/poisoned-bodies.ts";
import type { CallObserver } from "./calls/report.ts";
import { RetainedBodies } from "./calls/request-bodies.ts";
import { RetryBudget } from "./calls/retry-budget.ts";
import type { CallInput } from "./calls/run-call.ts";
import { tokenCheck, tokenForEdge } from "./edge-token.ts";
import { DrainState } from "./link/drain-state.ts";
import { EdgeCommands } from "./link/edge-commands.ts";
import { Link } from "./link/link.ts";
import { SnapshotSource } from "./link/snapshot-source.ts";
import type { GpuProbe } from "./probes/gpu.ts";
import { countTokens } from "./probes/llama.ts";
import type { Pm2Probe } from "./probes/pm2.ts";
import { createAgentServer, type AgentServer, type ControlAnswer, type ServerParts } from "./server.ts";
import { LiveBox } from "./servers/box.ts";
import { OperatorRestarts } from "./servers/operator-restarts.ts";
import type { Upstream } from "./servers/upstream-sockets.ts";
import { callLog } from "./telemetry/call-log.ts";
import { boxHealth } from "./telemetry/healthz.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { RecentTraffic } from "./telemetry/traffic.ts";
import { answerTokens, callEnd } from "./usage/call-usage.ts";
import type { UsageJournal } from "./usage/journal.ts";

/** How often the agent searches for the journals of exited processes. */
const ADOPT_MS = 60_000;

/** How long the first probes of the servers may take before the agent reports that it is ready. */
const FIRST_PROBES_MS = 1_500;

const JSON_TYPE = "application/json; charset=utf-8";

export interface AgentParts {
  readonly fleet: FleetConfig;
  /** Why the fleet file couldn't be used; null if `fleet` is its content. */
  readonly fleetFault?: string | null;
  readonly box: Box;
  readonly version: string;
  /** Names this process; see `usage/process-epoch.ts`. */
  readonly epoch: string;
  readonly upstreams: ReadonlyMap<number, Upstream>;
  readonly llamaApiKey: string;
  /** All valid secrets; the first one signs. */
  readonly boxSecrets: readonly [string, ...string[]];
  /** The URL to which the link connects; null for no link. */
  readonly edgeUrl: string | null;
  /** Where the newest drain or resume is stored; null for memory only. */
  readonly drainFile: string | null;
  readonly journal: UsageJournal;
  /** Null if this machine has no GPU. */
  readonly gpu: GpuProbe | null;
  /** Some of the servers or cards are simulated, which every report says; false by default. */
  readonly simulated?: boolean;
  readonly pm2: Pick<Pm2Probe, "list" | "restart"> | null;
  /** Whether another agent process uses the same slots. */
  readonly isShared: () => boolean;
  readonly log: Logger;
  /** Monotonic, in ms. */
  readonly clock: () => number;
  /** The clock for calls: silences, queue times and retries; `clock` by default. */
  readonly callClock?: () => number;
  /** Unix time in ms. */
  readonly wallClock: () => number;
  readonly random: () => number;
  readonly healthTimeoutMs?: number | undefined;
  readonly maxRetainedBytes?: number | undefined;
  readonly countTokens?: CallInput["countTokens"] | undefined;
}

export interface Agent extends AgentServer {
  readonly live: LiveBox;
  readonly metrics: Metrics;
  readonly bodies: RetainedBodies;
  readonly commands: EdgeCommands;
  /** Starts the probes; resolves when every server has been probed, or after 1.5 s. */
  start(): Promise<void>;
  /** Connects to the edge if a URL is set. */
  startLink(): void;
  /** Stops the probes, sends the last usage and closes the journal. All calls must have ended. */
  stop(): Promise<void>;
}

export async function createAgent(parts: AgentParts): Promise<Agent> {
  const { box, fleet, journal, gpu, simulated = false, log, clock } = parts;
  const agentTypes = [...fleet.boxes.flatMap(agentTypesOf), DEFAULT_AGENT];
  const metrics = new Metrics(box, agentTypes);
  const traffic = new RecentTraffic(agentTypes);
  const live = new LiveBox({ ...parts, onAbortProved: (port, tookMs) => metrics.abortProved(port, tookMs) });
  metrics.observe(live, gpu, journal, simulated);

  const drain = new DrainState(parts.drainFile, log);
  const commands = new EdgeCommands({
    drain,
    restarts: new OperatorRestarts({ upstreams: parts.upstreams, pm2: parts.pm2, clock }),
    revoke: (keyId) => live.dispatch.revoke(keyId),
    onRestarted: (frame) => link.restarted(frame),
    log,
  });
  const source = new SnapshotSource({
    live,
    gpu,
    journal,
    recent: traffic,
    simulated,
    isDraining: () => server.draining || drain.drained,
    log,
    clock,
  });
  const link = await createLink(parts, source, drain, commands);
  const bodies = new RetainedBodies(parts.maxRetainedBytes ?? MAX_RETAINED_BYTES);
  const server = createAgentServer({
    ...callParts(parts, live, link),
    isEdge: await tokenCheck(parts.boxSecrets, box.name, "edge-to-agent"),
    bodies,
    ...controlRoutes(parts, live, drain, metrics, link),
    isDrained: () => drain.drained,
    observers: callObservers(parts, metrics, traffic, source, link),
  });
  return Object.assign(server, { live, metrics, bodies, commands, ...lifecycle(parts, live, source, link) });
}

function lifecycle(
  { journal, log, edgeUrl }: AgentParts,
  live: LiveBox,
  source: SnapshotSource,
  link: Link,
): Pick<Agent, "start" | "startLink" | "stop"> {
  const adopt = (): Promise<unknown> =>
    journal.adopt().catch((error: unknown) => log.error({ event: "journal", reason: thrownName(error) }));
  const adopting = setInterval(() => void adopt(), ADOPT_MS).unref();
  return {
    start: async () => {
      await adopt();
      live.start();
      // Until the first probes have returned, the agent would refuse calls for servers that are ready.
      await live.known(FIRST_PROBES_MS);
    },
    startLink: () => {
      if (edgeUrl !== null) link.start();
    },
    stop: async () => {
      clearInterval(adopting);
      source.stop();
      await Promise.all([live.stop(), link.finish()]);
      await journal.close();
    },
  };
}

const agentTypesOf = ({ servers }: Box): string[] => servers.flatMap(({ agents }) => agents);

async function createLink(
  parts: AgentParts,
  source: SnapshotSource,
  drain: DrainState,
  commands: EdgeCommands,
): Promise<Link> {
  const { box, fleet, epoch, version, wallClock } = parts;
  return new Link({
    ...parts,
    edgeUrl: parts.edgeUrl ?? "",
    box: box.name,
    token: await tokenForEdge(parts.boxSecrets[0], box.name),
    hello: () => ({
      box: box.name,
      epoch,
      version,
      fleetHash: createHash("sha256").update(fleetText(fleet)).digest("hex"),
      fleetFault: parts.fleetFault ?? null,
      now: wallClock(),
      servers: box.servers.map(({ port, model }) => ({ port, model })),
      drain: drain.newest,
    }),
    snapshot: (usageBehindMs) => source.snapshot(usageBehindMs),
    onCommand: commands.handle,
  });
}

/** What the server needs to run calls and to book them. */
function callParts(
  parts: AgentParts,
  live: LiveBox,
  link: Link,
): Omit<ServerParts, "isEdge" | "bodies" | "control" | "guarded" | "isDrained" | "observers"> {
  const { box, upstreams, llamaApiKey, journal, wallClock, log, clock } = parts;
  const modelOf = (port: number): string | null => upstreams.get(port)?.server.model ?? null;
  return {
    box: box.name,
    dispatch: live.dispatch,
    budget: new RetryBudget(),
    poisoned: new PoisonedBodies(parts.boxSecrets[0]),
    modelOf,
    countTokens:
      parts.countTokens ?? ((grant, text) => countTokens(grant.upstream.origin, llamaApiKey, text)),
    book: (call, port, onStored) => {
      const { requestId: callId, keyId, agentType } = call;
      const model = modelOf(port) ?? "none";
      const start = { callId, keyId, agentType, model, port, startedAt: wallClock() };
      const end = journal.start(start, onStored);
      return (report, ms) => {
        if (report === null) return end(null);
        // Another server than the first one may have answered.
        const served = report.port ?? port;
        end(callEnd(call, report, ms), { port: served, model: modelOf(served) ?? "none" });
        link.callRecorded();
      };
    },
    log,
    clock: parts.callClock ?? clock,
  };
}

function callObservers(
  { log, clock }: AgentParts,
  metrics: Metrics,
  traffic: RecentTraffic,
  source: SnapshotSource,
  link: Link,
): readonly CallObserver[] {
  return [
    (call, report, ms) => metrics.ended(call, report, ms),
    (_call, report) => source.callEnded(report.port, answerTokens(report)),
    (call, report, ms) => traffic.ended(call, report, answerTokens(report), clock(), ms),
    (call, report, ms) => {
      const failed = lateFailure(call, report, ms);
      if (failed !== null) link.callFailed(failed);
    },
    (call, report, ms) => log.info(callLog(call, report, ms)),
  ];
}

function controlRoutes(
  { box, version, simulated, epoch, fleetFault = null }: AgentParts,
  live: LiveBox,
  drain: DrainState,
  metrics: Metrics,
  link: Link,
): Pick<ServerParts, "control" | "guarded"> {
  const json = (value: unknown): ControlAnswer => ({ contentType: JSON_TYPE, body: JSON.stringify(value) });
  return {
    control: {
      // Reports only which ports are up, so it needs no token: `npm start -- --real` and the edge use it.
      "/healthz": async () =>
        json(boxHealth({ box: box.name, version, simulated }, live.servers, drain.drained)),
    },
    guarded: {
      "/metrics": async () => ({ contentType: metrics.contentType, body: await metrics.text() }),
      "/fleet": async () =>
        json({ box: box.name, version, epoch, fleetFault, linked: link.isOpen, ...link.snapshot() }),
    },
  };
}
