// The fleet as operators see it: what the fleet object tells, laid over the fleet file, so that a box or a server
// that never spoke is shown too. Pure.
import { speakerOf, speakingOf, type BoxReport } from "../../shared/box-report.ts";
import { DEFAULT_AGENT, type Box, type Server } from "../../shared/fleet.ts";
import type {
  FleetBoxView,
  FleetServerView,
  FleetTraffic,
  FleetView,
  FleetState,
} from "../../shared/fleet-view.ts";
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";
import type { Snapshot } from "../../shared/wire.ts";
import type { FleetIndex } from "./fleet-index.ts";

export function fleetView(words: FleetState, index: FleetIndex, now: number): FleetView {
  const boxes = index.boxes.map((box) => {
    const report = words.reports.find((one) => one.box === box.name) ?? null;
    return boxView(box, report, words.since[box.name] ?? {}, index, now);
  });
  return {
    at: now,
    boxes,
    traffic: trafficOf(words),
    failures: [...words.failures],
    events: [...words.events],
    alarms: [...words.alarms],
  };
}

/** Whether a console that was told `before` should be told `after`: the moments at which it was asked are no news. */
export function isNews(before: FleetView, after: FleetView): boolean {
  const heardLater = after.boxes.some(({ lastSeenAt }, at) => {
    const told = before.boxes[at]?.lastSeenAt ?? null;
    return lastSeenAt !== null && told !== null && lastSeenAt - told >= HEARD_STEP_MS;
  });
  return heardLater || timeless(before) !== timeless(after);
}

/** When a box was heard is told in steps of this, milliseconds: two objects' clocks and the way between jitter. */
const HEARD_STEP_MS = 2_000;

function timeless(view: FleetView): string {
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
  const speaker = report === null ? null : speakerOf(report);
  const agent = speaker?.agent ?? null;
  const snapshot = speaker?.snapshot ?? null;
  const draining = speaker?.takesCalls === false || report?.held === true;
  return {
    name: box.name,
    gpu: box.gpu,
    vramGib: box.vramGib,
    state: snapshot === null ? "silent" : draining ? "draining" : "up",
    lastSeenAt: report === null ? null : now - report.lastSeenAgoMs,
    version: report?.version ?? null,
    agents: report?.agents.length ?? 0,
    warning: agent?.warning ?? null,
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
  const said = announced.includes(port)
    ? snapshot?.servers.find((candidate) => candidate.port === port)
    : undefined;
  return {
    port,
    pm2,
    model,
    agents: port === index.fleet.defaultPort ? [DEFAULT_AGENT, ...server.agents] : server.agents,
    state: said?.state ?? "unknown",
    why: said?.why ?? (snapshot === null ? "" : "its agent has another fleet file, without this server"),
    since: said === undefined ? null : since,
    slots: said?.slots ?? server.slots,
    busy: said?.busy ?? 0,
    waiting: said?.waiting ?? 0,
    places: said?.places ?? 0,
    waitMs: said?.waitMs ?? null,
    tokensPerSecond: said?.tokensPerSecond ?? null,
    firstTokenP50Ms: said?.firstTokenP50Ms ?? null,
    firstTokenP95Ms: said?.firstTokenP95Ms ?? null,
    gpuGib: said?.gpuGib ?? null,
    budgetGib: Number(gpuMemoryGib(server).total.toFixed(2)),
    restarts: said?.restarts ?? null,
  };
}

/** All linked agents together: during a reload both have calls. */
function trafficOf({ reports, byCode }: FleetState): FleetTraffic {
  const all = reports.flatMap(speakingOf).map(({ snapshot }) => snapshot.traffic);
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
  };
}
