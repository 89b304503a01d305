// Combines a box's GPUs into one reading: a server's memory is the sum over all cards, so it must be compared with
// the sum.
import type { LinkGpu } from "./wire.ts";

/** A reading as the wire has it. */
type GpuReading = Omit<LinkGpu, "name">;

/** Ignores cards without a figure; null if no card has it. @param gpus null if the box has no driver that answers */
export function allCards(gpus: readonly LinkGpu[] | null): GpuReading {
  const known = (figure: keyof GpuReading): number[] => (gpus ?? []).flatMap((card) => card[figure] ?? []);
  const utilization = known("utilizationPercent");
  const temperatures = known("temperatureC");
  return {
    memoryUsedGib: sum(known("memoryUsedGib")),
    memoryTotalGib: sum(known("memoryTotalGib")),
    utilizationPercent: utilization.length === 0 ? null : (sum(utilization) ?? 0) / utilization.length,
    // The hottest card matters.
    temperatureC: temperatures.length === 0 ? null : Math.max(...temperatures),
    powerWatts: sum(known("powerWatts")),
  };
}

function sum(figures: readonly number[]): number | null {
  return figures.length === 0 ? null : figures.reduce((total, figure) => total + figure, 0);
}
