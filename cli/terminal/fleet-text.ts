// Formats the fleet for a terminal: alarms, a row for each server, remarks on boxes. Pure.
import type { FleetAlarm, FleetBoxView, FleetServerView, FleetView } from "../../shared/fleet-view.ts";
import { agoText, countText } from "./format.ts";
import { bold, tableText, type Column, type Screen } from "./table.ts";
import { plain } from "./safe-text.ts";

const COLUMNS: readonly Column[] = [
  { title: "BOX", cut: true },
  { title: "IS" },
  { title: "PORT", right: true },
  { title: "MODEL", cut: true },
  { title: "STATE" },
  { title: "SLOTS", right: true },
  { title: "QUEUE", right: true },
  { title: "TOKENS/S", right: true },
  { title: "MEMORY (GiB)", right: true },
];

/** Shown only if a server reports a reason for its state. */
const WHY: Column = { title: "WHY", cut: true, spare: true };

const UNKNOWN = "–";

/** Durations are by the service's clock. */
export function fleetText({ at, alarms, boxes }: FleetView, screen: Screen): string {
  const hasReason = boxes.some(({ servers }) => servers.some(({ why }) => why !== ""));
  const columns = hasReason ? [...COLUMNS, WHY] : COLUMNS;
  const rows = boxes.flatMap((box) => box.servers.map((server) => row(box, server)));
  return [
    drainedText(boxes, screen),
    alarmsText(alarms, at, screen),
    tableText(columns, rows, screen),
    boxes.flatMap((box) => remarks(box, at)).join(""),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

/** Stated first: a fleet whose boxes are all drained or silent refuses every call. */
function drainedText(boxes: readonly FleetBoxView[], screen: Screen): string {
  const drained = boxes.filter(isDrained).map(({ name }) => plain(name));
  if (drained.length === 0 || boxes.some((box) => box.state === "up" && !isDrained(box))) return "";
  const resume = drained.map((name) => `\`isha box resume ${name}\``).join(", ");
  const verb = drained.length === 1 ? "is" : "are";
  return `${bold(`Nothing is served: ${drained.join(", ")} ${verb} drained.`, screen)} ${resume}\n`;
}

const isDrained = ({ drainedAt }: FleetBoxView): boolean => drainedAt !== undefined && drainedAt !== null;

function alarmsText(alarms: readonly FleetAlarm[], at: number, screen: Screen): string {
  if (alarms.length === 0) return "";
  const lines = alarms.map(
    ({ since, text, advice }) => `  ${plain(text)} (began ${agoText(since, at)})\n    ${plain(advice)}\n`,
  );
  return `${bold("ALARMS", screen)}\n${lines.join("")}`;
}

function row(box: FleetBoxView, server: FleetServerView): string[] {
  const { port, model, state, slots, busy, waiting, places, tokensPerSecond, gpuGib, budgetGib, why } =
    server;
  const isKnown = state !== "unknown";
  return [
    box.name,
    box.state,
    String(port),
    model,
    state,
    isKnown ? `${busy}/${slots}` : `${UNKNOWN}/${slots}`,
    isKnown ? `${waiting}/${places}` : UNKNOWN,
    tokensPerSecond === null ? UNKNOWN : tokensPerSecond.toFixed(1),
    `${gpuGib === null ? UNKNOWN : gpuGib.toFixed(1)}/${budgetGib.toFixed(1)}`,
    why,
  ];
}

/** What does not fit in a row: how long a box has been silent, several agents, a warning about its agent. */
function remarks(box: FleetBoxView, at: number): string[] {
  const { name, state, lastSeenAt, agents, warning, simulated, drainedAt = null } = box;
  const lastReport = lastSeenAt === null ? "has never reported" : `last reported ${agoText(lastSeenAt, at)}`;
  return [
    ...(simulated === true ? [`${plain(name)} is simulated: its servers or its card aren't real.\n`] : []),
    ...(drainedAt === null ? [] : [`${plain(name)} was drained ${agoText(drainedAt, at)}.\n`]),
    ...(state === "silent" ? [`${plain(name)} ${lastReport}.\n`] : []),
    ...(agents > 1 ? [`${plain(name)} has ${countText(agents)} agents linked, as during a reload.\n`] : []),
    ...(warning === null ? [] : [`${plain(name)}: ${plain(warning)}.\n`]),
  ];
}
