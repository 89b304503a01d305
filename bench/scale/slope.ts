// Describes how a cost grows with a size: the slope on logarithmic axes, and its words. Pure.

export interface Point {
  readonly size: number;
  readonly cost: number;
}

/** The exponent `k` of the power law cost ≈ c × size^k that fits best (least squares of the logarithms). */
export function exponent(points: readonly Point[]): number {
  const logs = points.map(({ size, cost }) => ({ x: Math.log(size), y: Math.log(cost) }));
  const meanX = mean(logs.map(({ x }) => x));
  const meanY = mean(logs.map(({ y }) => y));
  const spread = logs.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (spread === 0) throw new Error("a slope needs two sizes");
  return logs.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
}

/** Above these exponents the next words apply. */
const WORDS: readonly (readonly [above: number, words: string])[] = [
  [1.2, "grows faster than in proportion"],
  [0.8, "grows in proportion"],
  [0.3, "grows less than in proportion"],
  [0.05, "grows slowly"],
  [-0.05, "stays the same"],
  [Number.NEGATIVE_INFINITY, "falls"],
];

/** `grows slowly: × 1.4 from 1 to 10,000`. */
export function describeSlope(points: readonly Point[]): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) throw new Error("a slope needs two sizes");
  const slope = exponent(points);
  const words = WORDS.find(([above]) => slope > above)?.[1] ?? "";
  const factor = (last.cost / first.cost).toPrecision(2);
  return `${words}: × ${Number(factor)} from ${grouped(first.size)} to ${grouped(last.size)}`;
}

/** 10000 as `10,000`. */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
