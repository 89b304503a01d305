// Merges the traffic windows of all agents with the error codes that the edge counted. Pure.
import type { AgentTraffic, FailureGroup, TrafficWindow } from "../../shared/fleet-view.ts";
import type { Snapshot, TrafficWindow as AgentWindow } from "../../shared/wire.ts";
import type { FleetState } from "./object/box-reports.ts";

/** The windows, in seconds: the agents count both. */
const MINUTES_S = 300;
const HOUR_S = 3_600;

/** @param traffic of all active agents */
export function trafficWindows(
  traffic: readonly Snapshot["traffic"][],
  { byCode, groups = [] }: Pick<FleetState, "byCode" | "groups">,
): TrafficWindow[] {
  return [
    { ...merged(traffic, MINUTES_S), byCode: [...byCode] },
    { ...merged(traffic, HOUR_S), byCode: countsByCode(groups) },
  ];
}

function merged(traffic: readonly Snapshot["traffic"][], windowS: number): Omit<TrafficWindow, "byCode"> {
  const windows = traffic.flatMap(({ windows = [] }) =>
    windows.filter((window) => window.windowS === windowS),
  );
  const byAgent = new Map<string, AgentTraffic>();
  for (const row of windows.flatMap(rowsOf)) {
    const other = byAgent.get(row.agent);
    byAgent.set(row.agent, other === undefined ? row : sumOf(other, row));
  }
  return {
    windowS,
    coveredS: Math.max(0, ...windows.map(({ coveredS }) => coveredS)),
    byAgent: windows.length === 0 ? null : [...byAgent.values()].toSorted(busiestFirst),
  };
}

const busiestFirst = (a: AgentTraffic, b: AgentTraffic): number =>
  b.calls - a.calls || a.agent.localeCompare(b.agent);

function rowsOf(window: AgentWindow): AgentTraffic[] {
  return window.agents.map((agent, at) => ({
    agent,
    calls: window.calls[at] ?? 0,
    ours: window.ours[at] ?? 0,
    callers: window.callers[at] ?? 0,
    p50Ms: window.p50Ms[at] ?? null,
    p95Ms: window.p95Ms[at] ?? null,
    firstP50Ms: window.firstP50Ms[at] ?? null,
    firstP95Ms: window.firstP95Ms[at] ?? null,
  }));
}

/** The quantile of both together is at most the larger one. */
function sumOf(a: AgentTraffic, b: AgentTraffic): AgentTraffic {
  const larger = (one: number | null, other: number | null): number | null =>
    one === null ? other : other === null ? one : Math.max(one, other);
  return {
    agent: a.agent,
    calls: a.calls + b.calls,
    ours: a.ours + b.ours,
    callers: a.callers + b.callers,
    p50Ms: larger(a.p50Ms, b.p50Ms),
    p95Ms: larger(a.p95Ms, b.p95Ms),
    firstP50Ms: larger(a.firstP50Ms, b.firstP50Ms),
    firstP95Ms: larger(a.firstP95Ms, b.firstP95Ms),
  };
}

function countsByCode(groups: readonly FailureGroup[]): { code: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { code, count } of groups) counts.set(code, (counts.get(code) ?? 0) + count);
  return [...counts].map(([code, count]) => ({ code, count })).toSorted((a, b) => b.count - a.count);
}
