// Measures the curves: several passes over all sizes, so that what else the machine does falls on each.
import { median } from "../statistics.ts";
import type { Stage } from "../stage.ts";
import type { Curve } from "./curves.ts";
import type { MeasuredCurve } from "./table.ts";

/** Odd, so that the median is one that was measured. */
const PASSES = 3;

/** A curve that fails reports why and has no points; the others are still measured. */
export async function measureCurves(
  curves: readonly Curve[],
  stage: Stage,
  report: (text: string) => void,
  stopped: () => boolean,
): Promise<MeasuredCurve[]> {
  const measured: MeasuredCurve[] = [];
  for (const curve of curves) {
    if (stopped()) break;
    report(`${curve.name}: starting`);
    const points = await measureCurve(curve, stage).catch((error: unknown) => {
      if (!stopped()) report(`${curve.name}: failed: ${String(error)}\n${stage.lastLines()}`);
      return null;
    });
    measured.push({ name: curve.name, axis: curve.axis, unit: curve.unit, points });
  }
  return measured;
}

async function measureCurve({ sizes, measure }: Curve, stage: Stage) {
  const costs = new Map<number, number[]>(sizes.map((size) => [size, []]));
  for (let pass = 0; pass < PASSES; pass += 1) {
    for (const [size, measuredCosts] of costs) measuredCosts.push(await measure(stage, size));
  }
  return [...costs].map(([size, all]) => ({ size, cost: median(all) }));
}
