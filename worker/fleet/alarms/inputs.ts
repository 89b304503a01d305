// Derives the input of the alarm conditions from the boxes' latest reports, all agents of a box together. Pure.
import { activeAgents, reportingAgent, type BoxReport } from "../object/box-reports.ts";
import type { PortsByBox } from "../../../shared/fleet.ts";
import { allCards } from "../../../shared/fleet-view.ts";
import type { WatchedBox } from "./conditions.ts";

/**
 * @param expected the boxes of the edge's fleet file, including those that never dialled
 * @param ports their servers in that file; other servers are in no view and raise no alarm
 */
export function watchedBoxes(
  expected: readonly string[],
  ports: PortsByBox,
  reports: readonly BoxReport[],
  now: number,
): WatchedBox[] {
  return expected.map((name) => {
    const report = reports.find(({ box }) => box === name);
    return report === undefined ? notReporting(name, null, null) : watched(report, ports[name] ?? null, now);
  });
}

function notReporting(name: string, lastSeenAt: number | null, drainedAt: number | null): WatchedBox {
  return {
    name,
    lastSeenAt,
    reporting: false,
    draining: false,
    drainedAt,
    servers: [],
    temperatureC: null,
    usageBehindMs: null,
    journal: "ok",
    calls: 0,
    failed: 0,
  };
}

/** @param ports null if the edge hasn't sent them */
function watched(report: BoxReport, ports: readonly number[] | null, now: number): WatchedBox {
  const { box: name, drained, drainedAt = null } = report;
  const lastSeenAt = now - report.lastSeenAgoMs;
  const reporting = reportingAgent(report);
  if (reporting === null) return notReporting(name, lastSeenAt, drainedAt);
  const { agent, snapshot, takesCalls } = reporting;
  const traffic = activeAgents(report).map((active) => active.snapshot.traffic);
  return {
    name,
    lastSeenAt,
    reporting: true,
    draining: drained || !takesCalls,
    drainedAt,
    servers: snapshot.servers
      .filter(({ port }) => ports === null || ports.includes(port))
      .map(({ port, state, why, restarts }) => ({
        port,
        model: agent.models[agent.ports.indexOf(port)] ?? "",
        state,
        why,
        restarts,
      })),
    temperatureC: allCards(snapshot.gpus).temperatureC,
    usageBehindMs: snapshot.journal.behindMs,
    journal: snapshot.journal.state,
    calls: traffic.reduce((sum, { calls }) => sum + calls, 0),
    failed: traffic.reduce((sum, { failed }) => sum + failed, 0),
  };
}
