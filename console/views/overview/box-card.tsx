// One box: GPU memory, servers, charts, and the operator's commands.
import { useState } from "preact/hooks";
import { allCards, type FleetBoxView } from "../../../shared/fleet-view.ts";
import { durationText } from "../../../shared/duration.ts";
import { figure } from "../../model/format.ts";
import { boxLevel } from "../../model/headline.ts";
import { loadText } from "../../model/load.ts";
import { memoryBar } from "../../model/memory-bar.ts";
import { boxState } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";
import { MemoryBar } from "../../components/memory-bar.tsx";
import { StateLabel } from "../../components/state-label.tsx";
import { edgeNow } from "../../state/clock.ts";
import { narrow } from "../../state/narrow.ts";
import { BoxCharts } from "./box-charts.tsx";
import { BoxCommand, type Command } from "./box-command.tsx";
import { ServerList } from "./server-list.tsx";

/** Usage that is not booked for longer than this is shown as a warning; normally the link sends it within seconds. */
const USAGE_LATE_MS = 60_000;

/** The age of a box's last report is shown from here on; an idle box reports every 15 s. */
const REPORT_LATE_MS = 20_000;

export function BoxCard({ box, open }: { readonly box: FleetBoxView; readonly open: boolean }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const [command, setCommand] = useState<Command | null>(null);
  // A phone has room for what needs attention only.
  const shown = chosen ?? ((open && !narrow.value) || hasTrouble(box));
  const heading = `box-${box.name}`;
  return (
    <article
      class="card box"
      data-state={box.state}
      data-open={shown}
      data-level={boxLevel(box)}
      aria-labelledby={heading}
    >
      <header class="box-head">
        <h2 id={heading}>
          <button type="button" class="fold" aria-expanded={shown} onClick={() => setChosen(!shown)}>
            <span class="fold-mark" aria-hidden="true" />
            {box.name}
          </button>
        </h2>
        <StateLabel state={boxState(box)} />
        <p class="box-about">{aboutBox(box)}</p>
        <div class="box-actions">
          {box.state === "draining" ? (
            <button type="button" class="button small" onClick={() => setCommand({ kind: "resume" })}>
              Resume
            </button>
          ) : (
            <button type="button" class="button small" onClick={() => setCommand({ kind: "drain" })}>
              Drain
            </button>
          )}
        </div>
      </header>
      {warningsOf(box).map((warning) => (
        <p key={warning} class="box-warning">
          <LevelIcon level="warn" />
          <span>{warning}</span>
        </p>
      ))}
      <MemoryBar bar={memoryBar(box)} />
      {shown ? (
        <>
          <ServerList box={box} onRestart={(port) => setCommand({ kind: "restart", port })} />
          <BoxCharts box={box} />
        </>
      ) : (
        <p class="box-short">{summary(box)}</p>
      )}
      {command === null ? null : <BoxCommand box={box} command={command} onClose={() => setCommand(null)} />}
    </article>
  );
}

/** Whether a box needs attention; for a silent or a draining box its header is enough. */
function hasTrouble(box: FleetBoxView): boolean {
  return box.state === "up" && boxLevel(box) !== "good";
}

function aboutBox(box: FleetBoxView): string {
  const now = edgeNow.value;
  const cards = allCards(box.gpus);
  return [
    box.gpu,
    ...((box.gpus ?? []).length === 0 || box.state === "silent"
      ? []
      : [
          `${figure(cards.utilizationPercent)} % busy`,
          `${figure(cards.temperatureC)} °C`,
          `${figure(cards.powerWatts)} W`,
        ]),
    ...(box.version === null ? [] : [`agent ${box.version}`]),
    ...lastReportText(box, now),
  ].join(" · ");
}

function lastReportText({ lastSeenAt }: FleetBoxView, now: number): string[] {
  if (lastSeenAt === null) return ["never reported"];
  return now - lastSeenAt < REPORT_LATE_MS ? [] : [`last report ${durationText(now - lastSeenAt)} ago`];
}

function warningsOf(box: FleetBoxView): string[] {
  return [
    ...(box.warning === null ? [] : [box.warning]),
    ...(box.gpus === null && box.state !== "silent"
      ? ["Nothing on the box answers for its GPU: nvidia-smi doesn't run."]
      : []),
    ...(box.agents > 1 ? ["Two agents are linked: one is replacing the other."] : []),
    ...(box.usageBehindMs !== null && box.usageBehindMs > USAGE_LATE_MS
      ? [`Usage of the last ${durationText(box.usageBehindMs)} isn't booked yet.`]
      : []),
  ];
}

/** A folded box in one line. */
function summary({ servers, state }: FleetBoxView): string {
  const ready = servers.filter((server) => server.state === "ready").length;
  if (state === "silent") return `${servers.length} servers, their state is unknown`;
  return `${ready} of ${servers.length} ready · ${loadText(servers)}`;
}
