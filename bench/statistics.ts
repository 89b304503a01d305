// The few figures a table needs of many. Pure.

/** @throws Error without values */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between two values, in proportion. @param at from 0 to 1 */
export function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * at;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new Error("there is no median of nothing");
  return below + (above - below) * (place - Math.floor(place));
}

export interface Pair {
  readonly floor: number;
  readonly ours: number;
}

/**
 * How many times the floor ours is: the median of the pairs' own ratios. The two of a pair were measured one
 * right after the other, so what else the machine did meanwhile falls on both.
 */
export function pairedRatio(pairs: readonly Pair[]): number {
  return median(pairs.map(({ floor, ours }) => ours / floor));
}
