// What the alarms are read from: each box's last words, of all its agents together. Pure.
import { speakerOf, speakingOf, type BoxReport } from "../../shared/box-report.ts";
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

function watched(report: BoxReport, now: number): WatchedBox {
  const { box: name, heardAgoMs, held = false } = report;
  const speaker = speakerOf(report);
  if (speaker === null) return { ...unheard(name), heardAt: now - heardAgoMs };
  const { agent, snapshot, takesCalls } = speaker;
  const temperatures = (snapshot.gpus ?? []).flatMap(({ temperatureC }) => temperatureC ?? []);
  const traffic = speakingOf(report).map((one) => one.snapshot.traffic);
  return {
    name,
    heardAt: now - heardAgoMs,
    speaks: true,
    draining: held || !takesCalls,
    servers: snapshot.servers.map(({ port, state, why, restarts }) => ({
      port,
      model: agent.models[agent.ports.indexOf(port)] ?? "",
      state,
      why,
      restarts,
    })),
    temperatureC: temperatures.length === 0 ? null : Math.max(...temperatures),
    usageBehindMs: snapshot.journal.behindMs,
    journal: snapshot.journal.state,
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
