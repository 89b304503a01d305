// Prints the curves as one table: a line per curve with its costs, then its slope in words. Pure.
import { describeSlope, grouped, type Point } from "./slope.ts";

export interface MeasuredCurve {
  readonly name: string;
  /** What is counted along the axis: `keys`. */
  readonly axis: string;
  readonly unit: "µs";
  /** Null if it couldn't be measured. */
  readonly points: readonly Point[] | null;
}

export function renderCurves(curves: readonly MeasuredCurve[]): string {
  return curves.map(lines).join("\n\n");
}

function lines({ name, axis, unit, points }: MeasuredCurve): string {
  if (points === null) return `${name}: FAILED`;
  const sizes = [axis, ...points.map(({ size }) => grouped(size))];
  const costs = [unit, ...points.map(({ cost }) => shown(cost))];
  const widths = sizes.map((cell, at) => Math.max(cell.length, costs[at]?.length ?? 0));
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  ");
  return `${name} ${describeSlope(points)}\n  ${row(sizes)}\n  ${row(costs)}`;
}

/** A measurement isn't good for more than three digits. */
export function shown(value: number): string {
  return value >= 100 ? grouped(Math.round(value)) : String(Number(value.toPrecision(3)));
}
