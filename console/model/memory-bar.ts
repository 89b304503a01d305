// GPU memory of a box as a stacked bar: a segment a server, then what others hold, out of its cards.
import type { FleetBoxView } from "../../shared/fleet-view.ts";
import { allCards } from "../../shared/gpu-cards.ts";
import { gib, share } from "./figure.ts";

export interface MemorySegment {
  readonly key: string;
  readonly label: string;
  /** What it holds, GiB; null where nobody could tell. */
  readonly gib: number | null;
  readonly budgetGib: number | null;
  /** Of the card, 0 to 1. */
  readonly share: number;
  /** Of the palette; null for what is no server's. */
  readonly colour: number | null;
  readonly overBudget: boolean;
}

export interface MemoryBar {
  readonly segments: readonly MemorySegment[];
  readonly usedGib: number | null;
  readonly cardGib: number;
  readonly budgetGib: number;
  /** Where on the bar the plan ends, 0 to 1. */
  readonly budgetShare: number;
  /** All of it in one sentence. */
  readonly text: string;
}

/** More than the plan by this share is told: measured processes vary by a few per cent. */
const OVER_BUDGET = 1.05;

/** Less than this of the card is the driver's own and not worth a name, GiB. */
const WORTH_NAMING_GIB = 0.05;

export function memoryBar(box: FleetBoxView): MemoryBar {
  const cards = allCards(box.gpus);
  const cardGib = cards.memoryTotalGib ?? box.vramGib;
  const segments: MemorySegment[] = box.servers.map((server, index) => ({
    key: String(server.port),
    label: `${server.port} ${server.model}`,
    gib: server.gpuGib,
    budgetGib: server.budgetGib,
    share: share(server.gpuGib, cardGib),
    colour: index,
    overBudget: server.gpuGib !== null && server.gpuGib > server.budgetGib * OVER_BUDGET,
  }));
  const byServers = segments.reduce((sum, { gib }) => sum + (gib ?? 0), 0);
  const usedGib = cards.memoryUsedGib ?? (segments.some(({ gib }) => gib !== null) ? byServers : null);
  const rest = (usedGib ?? 0) - byServers;
  if (rest > WORTH_NAMING_GIB) {
    const label = byServers === 0 ? "in use, by whom isn't known" : "driver and others";
    segments.push({
      key: "rest",
      label,
      gib: rest,
      budgetGib: null,
      share: share(rest, cardGib),
      colour: null,
      overBudget: false,
    });
  }
  const budgetGib = box.servers.reduce((sum, server) => sum + server.budgetGib, 0);
  const planned = `${gib(budgetGib)} planned`;
  const heard = box.state === "silent" ? "last heard: " : "";
  return {
    segments,
    usedGib,
    cardGib,
    budgetGib,
    budgetShare: share(budgetGib, cardGib),
    text:
      usedGib === null
        ? `not known; ${planned} of ${gib(cardGib)}`
        : `${heard}${gib(usedGib)} of ${gib(cardGib)} in use, ${planned}`,
  };
}
