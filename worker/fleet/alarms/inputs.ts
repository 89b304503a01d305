// What the alarms are read from: each box's last words, of all its agents together. Pure.
import { speakerOf, speakingOf, type BoxReport } from "../../../shared/box-report.ts";
import type { PortsByBox } from "../../../shared/fleet.ts";
import { allCards } from "../../../shared/gpu-cards.ts";
import type { WatchedBox } from "./conditions.ts";

/**
 * @param expected boxes of the edge's fleet file: one that never dialled is watched too
 * @param ports their servers by that file: one that it lacks is in no view, and nobody is woken for it
 */
export function watchedBoxes(
  expected: readonly string[],
  ports: PortsByBox,
  reports: readonly BoxReport[],
  now: number,
): WatchedBox[] {
  return expected.map((name) => {
    const report = reports.find(({ box }) => box === name);
    return report === undefined ? unheard(name) : watched(report, ports[name] ?? null, now);
  });
}

function unheard(name: string): WatchedBox {
  return { ...NOTHING, name, lastSeenAt: null, speaks: false, draining: false, servers: [] };
}

/** @param ports null where the edge hasn't said which */
function watched(report: BoxReport, ports: readonly number[] | null, now: number): WatchedBox {
  const { box: name, lastSeenAgoMs, held = false } = report;
  const speaker = speakerOf(report);
  if (speaker === null) return { ...unheard(name), lastSeenAt: now - lastSeenAgoMs };
  const { agent, snapshot, takesCalls } = speaker;
  const traffic = speakingOf(report).map((one) => one.snapshot.traffic);
  return {
    name,
    lastSeenAt: now - lastSeenAgoMs,
    speaks: true,
    draining: held || !takesCalls,
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

const NOTHING = {
  temperatureC: null,
  usageBehindMs: null,
  journal: "ok",
  calls: 0,
  failed: 0,
} as const;
