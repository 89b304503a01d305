// Draws the curves as one SVG of small charts with logarithmic axes. Pure. The colours follow the reader's scheme.
import { grouped, type Point } from "./slope.ts";
import { shown, type MeasuredCurve } from "./table.ts";

const COLUMNS = 3;
const CHART = { width: 300, height: 190 };
const PLOT = { left: 52, right: 14, top: 34, bottom: 36 };

export function drawCurves(curves: readonly MeasuredCurve[]): string {
  const measured = curves.filter((curve): curve is Drawn => curve.points !== null);
  const width = Math.min(COLUMNS, measured.length) * CHART.width;
  const height = Math.ceil(measured.length / COLUMNS) * CHART.height;
  const charts = measured.map((curve, at) => {
    const [x, y] = [(at % COLUMNS) * CHART.width, Math.floor(at / COLUMNS) * CHART.height];
    return `<g transform="translate(${x} ${y})">${chart(curve)}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="Cost against size">
<style>:root{color:#1f2328}@media(prefers-color-scheme:dark){:root{color:#e6edf3}}text{fill:currentColor}.axis{stroke:currentColor;opacity:.35}.line{fill:none;stroke:#2f81f7;stroke-width:2}circle{fill:#2f81f7}</style>
${charts.join("\n")}
</svg>
`;
}

type Drawn = MeasuredCurve & { readonly points: readonly Point[] };

function chart({ name, axis, unit, points }: Drawn): string {
  const costs = points.map(({ cost }) => cost);
  const sizes = points.map(({ size }) => size);
  // The same cost everywhere is drawn as a line in the middle.
  const [low, high] = [Math.min(...costs) / 2, Math.max(...costs) * 2];
  const [right, bottom] = [CHART.width - PLOT.right, CHART.height - PLOT.bottom];
  const xOf = scale(Math.min(...sizes), Math.max(...sizes), PLOT.left + 18, right - 18);
  const yOf = scale(low, high, bottom, PLOT.top);
  const places = points.map(({ size, cost }) => ({ x: xOf(size), y: yOf(cost), size, cost }));
  const marks = places.map(
    ({ x, y, size, cost }) =>
      `<circle cx="${fixed(x)}" cy="${fixed(y)}" r="3"/>` +
      `<text x="${fixed(x)}" y="${fixed(y - 7)}" text-anchor="middle">${shown(cost)}</text>` +
      `<text x="${fixed(x)}" y="${bottom + 14}" text-anchor="middle">${short(size)}</text>`,
  );
  return [
    // The axis names what the cost is measured against.
    `<text x="8" y="16" font-weight="600">${escaped(name.replace(/, against .*/, ""))}</text>`,
    `<text x="${PLOT.left - 6}" y="${PLOT.top + 8}" text-anchor="end">${unit}</text>`,
    `<text x="${right}" y="${bottom + 28}" text-anchor="end">${escaped(axis)}</text>`,
    `<path class="axis" fill="none" d="M${PLOT.left} ${PLOT.top}V${bottom}H${right}"/>`,
    `<polyline class="line" points="${places.map(({ x, y }) => `${fixed(x)},${fixed(y)}`).join(" ")}"/>`,
    ...marks,
  ].join("");
}

/** Places a value between `from` and `to` by its logarithm. */
function scale(low: number, high: number, from: number, to: number): (value: number) => number {
  const span = Math.log(high / low);
  return (value) => from + (span === 0 ? 0.5 : Math.log(value / low) / span) * (to - from);
}

/** 10,000 as `10k`: there is little room below an axis. */
function short(size: number): string {
  if (size >= 1_000_000 && size % 100_000 === 0) return `${size / 1_000_000}M`;
  return size >= 1_000 && size % 100 === 0 ? `${size / 1_000}k` : grouped(size);
}

const fixed = (value: number): string => value.toFixed(1);
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
