// The fleet as text for people. Pure.
import type { FleetAlarm, FleetBoxView, FleetServerView, FleetView } from "../../shared/fleet-view.ts";
import { agoText, countText } from "./figures.ts";
import type { Output } from "../context.ts";
import { bold, tableText, type Column } from "./table.ts";
import { plain } from "./safe-text.ts";

type Screen = Pick<Output, "columns" | "colours">;

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

/** Only where a server has something to say of itself. */
const WHY: Column = { title: "WHY", cut: true, spare: true };

const UNKNOWN = "–";

/** Times are told by the service's clock. */
export function fleetPage({ at, alarms, boxes }: FleetView, screen: Screen): string {
  const said = boxes.some(({ servers }) => servers.some(({ why }) => why !== ""));
  const columns = said ? [...COLUMNS, WHY] : COLUMNS;
  const rows = boxes.flatMap((box) => box.servers.map((server) => row(box, server)));
  return [
    alarmsText(alarms, at, screen),
    tableText(columns, rows, screen),
    boxes.flatMap((box) => remarks(box, at)).join(""),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function alarmsText(alarms: readonly FleetAlarm[], at: number, screen: Screen): string {
  if (alarms.length === 0) return "";
  const lines = alarms.map(
    ({ since, text, advice }) => `  ${plain(text)} (since ${agoText(since, at)})\n    ${plain(advice)}\n`,
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

/** What a row can't say: since when a box is silent, and what its agent differs in. */
function remarks({ name, state, lastSeenAt, agents, warning }: FleetBoxView, at: number): string[] {
  const heard = lastSeenAt === null ? "has never reported in" : `was last heard ${agoText(lastSeenAt, at)}`;
  return [
    ...(state === "silent" ? [`${plain(name)} ${heard}.\n`] : []),
    ...(agents > 1 ? [`${plain(name)} has ${countText(agents)} agents linked, as while it reloads.\n`] : []),
    ...(warning === null ? [] : [`${plain(name)}: ${plain(warning)}.\n`]),
  ];
}
