// A box's cards as one: a server's memory is summed over all of them, and so must be what it is compared with.
import type { LinkGpu } from "./wire.ts";

export type CardFigures = Omit<LinkGpu, "name">;

/** Null is what no card says; what some don't say is left out. @param gpus null where nothing answers for GPUs */
export function allCards(gpus: readonly LinkGpu[] | null): CardFigures {
  const said = (figure: keyof CardFigures): number[] => (gpus ?? []).flatMap((card) => card[figure] ?? []);
  const utilization = said("utilizationPercent");
  const temperatures = said("temperatureC");
  return {
    memoryUsedGib: sum(said("memoryUsedGib")),
    memoryTotalGib: sum(said("memoryTotalGib")),
    utilizationPercent: utilization.length === 0 ? null : (sum(utilization) ?? 0) / utilization.length,
    // The hottest is the one to worry about.
    temperatureC: temperatures.length === 0 ? null : Math.max(...temperatures),
    powerWatts: sum(said("powerWatts")),
  };
}

function sum(figures: readonly number[]): number | null {
  return figures.length === 0 ? null : figures.reduce((total, figure) => total + figure, 0);
}
