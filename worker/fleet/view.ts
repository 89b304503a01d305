// Builds the operators' view of the fleet from the fleet file and the fleet object's state, so that a box or a server
// that never reported is shown too. Pure.
import { DEFAULT_AGENT, type Box, type Server } from "../../shared/fleet.ts";
import type { Failure } from "../../shared/failures.ts";
import type { FleetBoxView, FleetServerView, FleetTraffic, FleetView } from "../../shared/fleet-view.ts";
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";
import type { Snapshot } from "../../shared/wire.ts";
import { trafficWindows } from "./traffic-windows.ts";
import type { FleetIndex } from "./fleet-index.ts";
import { activeAgents, reportingAgent, type BoxReport, type FleetState } from "./object/box-reports.ts";

/** A change of `lastSeenAt` below this isn't a change: two objects' clocks and the network jitter. */
const SEEN_STEP_MS = 2_000;

/** Groups of failures in a view; a stream sends the view whenever it changes. */
const MAX_GROUPS = 100;

/** @param withoutAccess names of the boxes that Cloudflare Access doesn't protect */
export function fleetView(
  state: FleetState,
  index: FleetIndex,
  now: number,
  withoutAccess: readonly string[] = [],
): FleetView {
  const boxes = index.boxes.map((box) => {
    const report = state.reports.find((one) => one.box === box.name) ?? null;
    const view = boxView(box, report, state.since[box.name] ?? {}, index, now);
    if (!withoutAccess.includes(box.name)) return view;
    return { ...view, warning: view.warning === null ? NO_ACCESS : `${view.warning}; ${NO_ACCESS}` };
  });
  return {
    at: now,
    boxes,
    traffic: trafficOf(state),
    failures: newestFirst(state),
    failureGroups: (state.groups ?? []).slice(0, MAX_GROUPS),
    events: [...state.events],
    alarms: [...state.alarms],
  };
}

const NO_ACCESS =
  "the internet reaches its agent without Cloudflare Access; set ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET (SECURITY.md)";

/** Whether a console that has `before` needs `after`. The times of the two views don't count. */
export function hasChanged(before: FleetView, after: FleetView): boolean {
  const seenLater = after.boxes.some(({ lastSeenAt }, at) => {
    const earlier = before.boxes[at]?.lastSeenAt ?? null;
    return lastSeenAt !== null && earlier !== null && lastSeenAt - earlier >= SEEN_STEP_MS;
  });
  return seenLater || withoutTimes(before) !== withoutTimes(after);
}

function withoutTimes(view: FleetView): string {
  const boxes = view.boxes.map((box) => ({ ...box, lastSeenAt: box.lastSeenAt !== null }));
  return JSON.stringify({ ...view, at: 0, boxes });
}

function boxView(
  box: Box,
  report: BoxReport | null,
  since: Readonly<Record<string, number>>,
  index: FleetIndex,
  now: number,
): FleetBoxView {
  const reporting = report === null ? null : reportingAgent(report);
  const agent = reporting?.agent ?? null;
  const snapshot = reporting?.snapshot ?? null;
  const draining = reporting?.takesCalls === false || report?.drained === true;
  return {
    name: box.name,
    gpu: box.gpu,
    vramGib: box.vramGib,
    state: snapshot === null ? "silent" : draining ? "draining" : "up",
    drainedAt: report?.drainedAt ?? null,
    lastSeenAt: report === null ? null : now - report.lastSeenAgoMs,
    version: report?.version ?? null,
    agents: report?.agents.length ?? 0,
    warning: agent?.warning ?? null,
    fleetHash: agent?.fleetHash ?? null,
    // A silent agent's history is still shown, and so is the mark of its figures.
    simulated: report?.agents.some(({ snapshot: last }) => last?.simulated === true) ?? false,
    gpus: snapshot?.gpus ?? null,
    servers: box.servers.map((server) =>
      serverView(server, snapshot, agent?.ports ?? [], since[server.port] ?? null, index),
    ),
    usageBehindMs: snapshot?.journal.behindMs ?? null,
  };
}

function serverView(
  server: Server,
  snapshot: Snapshot | null,
  announced: readonly number[],
  since: number | null,
  index: FleetIndex,
): FleetServerView {
  const { port, pm2, model } = server;
  const status = announced.includes(port)
    ? snapshot?.servers.find((candidate) => candidate.port === port)
    : undefined;
  return {
    port,
    pm2,
    model,
    agents: port === index.fleet.defaultPort ? [DEFAULT_AGENT, ...server.agents] : server.agents,
    state: status?.state ?? "unknown",
    why: status?.why ?? (snapshot === null ? "" : "the agent's fleet file doesn't have this server"),
    since: status === undefined ? null : since,
    slots: status?.slots ?? server.slots,
    busy: status?.busy ?? 0,
    waiting: status?.waiting ?? 0,
    places: status?.places ?? 0,
    waitMs: status?.waitMs ?? null,
    tokensPerSecond: status?.tokensPerSecond ?? null,
    firstTokenP50Ms: status?.firstTokenP50Ms ?? null,
    firstTokenP95Ms: status?.firstTokenP95Ms ?? null,
    gpuGib: status?.gpuGib ?? null,
    budgetGib: Number(gpuMemoryGib(server).total.toFixed(2)),
    restarts: status?.restarts ?? null,
  };
}

function newestFirst({ failures, ours = [] }: FleetState): Failure[] {
  const byId = new Map([...failures, ...ours].map((failure) => [failure.requestId, failure]));
  return [...byId.values()].toSorted((a, b) => b.at - a.at);
}

/** Sums over all active agents: during a reload both agents of a box have calls. */
function trafficOf(state: FleetState): FleetTraffic {
  const { reports, byCode } = state;
  const all = reports.flatMap(activeAgents).map(({ snapshot }) => snapshot.traffic);
  const byAgent = new Map<string, { calls: number; tokens: number }>();
  for (const { agents, calls, tokens } of all.map((traffic) => traffic.byAgent)) {
    for (const [at, agent] of agents.entries()) {
      const sums = byAgent.get(agent) ?? { calls: 0, tokens: 0 };
      byAgent.set(agent, {
        calls: sums.calls + (calls[at] ?? 0),
        tokens: sums.tokens + (tokens[at] ?? 0),
      });
    }
  }
  const sum = (of: (traffic: Snapshot["traffic"]) => number): number =>
    all.reduce((total, traffic) => total + of(traffic), 0);
  return {
    windowS: Math.max(0, ...all.map((traffic) => traffic.windowS)),
    byAgent: [...byAgent]
      .map(([agent, sums]) => ({ agent, ...sums }))
      .toSorted((a, b) => b.calls - a.calls || a.agent.localeCompare(b.agent)),
    byCode: [...byCode],
    fallbacks: sum((traffic) => traffic.fallbacks),
    recoveries: sum((traffic) => traffic.recoveries),
    windows: trafficWindows(all, state),
  };
}
