// What the alarms are read from: each box's last words, of all its agents together. Pure.
import type { BoxReport } from "../../shared/box-report.ts";
import { LINK_SILENT_MS } from "../../shared/limits.ts";
import type { WatchedBox } from "./alarms.ts";

/** @param expected boxes of the edge's fleet file: one that never dialled is watched too. */
export function watchedBoxes(
  expected: readonly string[],
  reports: readonly BoxReport[],
  now: number,
): WatchedBox[] {
  return expected.map((name) => {
    const report = reports.find(({ box }) => box === name);
    return report === undefined ? unheard(name) : watched(report, now);
  });
}

function unheard(name: string): WatchedBox {
  return { ...NOTHING, name, heardAt: null, speaks: false, draining: false, servers: [] };
}

function watched({ box: name, heardAgoMs, agents, held = false }: BoxReport, now: number): WatchedBox {
  const snapshots = agents
    .filter((agent) => agent.heardAgoMs < LINK_SILENT_MS)
    .flatMap((agent) => (agent.snapshot === null ? [] : [{ agent, snapshot: agent.snapshot }]));
  const taking = snapshots.find(({ agent, snapshot }) => !agent.leaving && !snapshot.draining);
  const speaker = taking ?? snapshots[0];
  if (speaker === undefined) return { ...unheard(name), heardAt: now - heardAgoMs };
  const { agent, snapshot: speaking } = speaker;
  const temperatures = (speaking.gpus ?? []).flatMap(({ temperatureC }) => temperatureC ?? []);
  const traffic = snapshots.map(({ snapshot }) => snapshot.traffic);
  return {
    name,
    heardAt: now - heardAgoMs,
    speaks: true,
    draining: held || taking === undefined,
    servers: speaking.servers.map(({ port, state, why, restarts }) => ({
      port,
      model: agent.models[agent.ports.indexOf(port)] ?? "",
      state,
      why,
      restarts,
    })),
    temperatureC: temperatures.length === 0 ? null : Math.max(...temperatures),
    usageBehindMs: speaking.journal.behindMs,
    journal: speaking.journal.state,
    calls: traffic.reduce((sum, { calls }) => sum + calls, 0),
    failed: traffic.reduce((sum, { failed }) => sum + failed, 0),
  };
}

const NOTHING = {
  temperatureC: null,
  usageBehindMs: null,
  journal: "ok",
  calls: 0,
  failed: 0,
} as const;
