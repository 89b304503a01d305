// GPU memory of a box as a stacked bar: a segment for each server, then other processes, out of all its cards.
import { allCards, type FleetBoxView } from "../../shared/fleet-view.ts";
import { gib, share } from "./format.ts";

export interface MemorySegment {
  readonly key: string;
  readonly label: string;
  /** Null if unknown. */
  readonly gib: number | null;
  readonly budgetGib: number | null;
  /** Share of the card, 0 to 1. */
  readonly share: number;
  /** Index in the palette; null if it is no server's. */
  readonly colour: number | null;
  readonly overBudget: boolean;
}

export interface MemoryBar {
  readonly segments: readonly MemorySegment[];
  readonly usedGib: number | null;
  readonly cardGib: number;
  readonly budgetGib: number;
  /** Position of the plan's end on the bar, 0 to 1. */
  readonly budgetShare: number;
  /** The bar in one sentence. */
  readonly text: string;
}

/** A server above its plan by this factor is marked; measured values vary by a few per cent. */
const OVER_BUDGET = 1.05;

/** A smaller rest is the driver's own and not shown. */
const MIN_REST_GIB = 0.05;

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
  if (rest > MIN_REST_GIB) {
    const label = byServers === 0 ? "in use, by unknown processes" : "driver and others";
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
  const prefix = box.state === "silent" ? "last report: " : "";
  return {
    segments,
    usedGib,
    cardGib,
    budgetGib,
    budgetShare: share(budgetGib, cardGib),
    text:
      usedGib === null
        ? `unknown; ${planned} of ${gib(cardGib)}`
        : `${prefix}${gib(usedGib)} of ${gib(cardGib)} in use, ${planned}`,
  };
}
