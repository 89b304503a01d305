// The usage over time: stacked columns, drawn by uPlot, with a legend that shows the figures at the pointer and filters.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import {
  columnText,
  marks,
  markText,
  stacked,
  type UsageChartModel,
  type UsageSeries,
} from "../../model/usage-chart.ts";
import { theme } from "../../state/theme.ts";

/** CSS pixels of the plot with its axis; usage.css has the same height. */
const HEIGHT = 240;

/** CSS pixels of a label on the time axis, with the space around it. */
const MARK_WIDTH = 76;

interface UsageChartProps {
  readonly title: string;
  readonly chart: UsageChartModel;
}

export function UsageChart({ title, chart }: UsageChartProps) {
  const [pointed, setPointed] = useState<number | null>(null);
  const [only, setOnly] = useState<string | null>(null);
  // A series that a new report doesn't have can't stay alone.
  const alone = chart.series.find(({ id }) => id === only);
  const shown = useMemo(() => (alone === undefined ? chart.series : [alone]), [chart, alone]);
  const at = pointed === null ? undefined : chart.at[pointed];
  const figureOf = ({ values, sum }: UsageSeries): number =>
    at === undefined || pointed === null ? sum : (values[pointed] ?? 0);
  const total = shown.reduce((sum, series) => sum + figureOf(series), 0);
  return (
    <figure class="card usage-chart">
      <figcaption class="panel-head">
        <h2>{title}</h2>
        <span class="usage-total">
          <span class="chart-at">{at === undefined ? "in total" : columnText(at, chart.stepMs)} </span>
          <strong>{chart.format(total)}</strong>
        </span>
      </figcaption>
      <Plot chart={chart} shown={shown} onPoint={setPointed} />
      <ul class="legend">
        {chart.series.map((series) => (
          <li key={series.id}>
            <button
              type="button"
              class="legend-entry"
              aria-pressed={alone === series}
              data-off={alone !== undefined && alone !== series}
              onClick={() => setOnly(alone === series ? null : series.id)}
            >
              <span class="swatch" style={{ background: colourOf(series.colour) }} />
              <span class="legend-name">{series.label}</span>
              <span class="legend-value">{chart.format(figureOf(series))}</span>
            </button>
          </li>
        ))}
      </ul>
    </figure>
  );
}

interface PlotProps {
  readonly chart: UsageChartModel;
  readonly shown: readonly UsageSeries[];
  readonly onPoint: (index: number | null) => void;
}

function Plot({ chart, shown, onPoint }: PlotProps) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const layers = stacked(shown);
    const seconds = chart.at.map((at) => at / 1000);
    const data = [seconds, ...layers.map(({ values }) => values)] as uPlot.AlignedData;
    const colours = layers.map(({ colour }) => colour);
    const created = new uPlot(optionsOf(element, chart, colours, onPoint), data, element);
    const fit = new ResizeObserver(() => created.setSize({ width: element.clientWidth, height: HEIGHT }));
    fit.observe(element);
    return () => {
      fit.disconnect();
      created.destroy();
    };
    // A plot reads its colours when it is created: a new theme needs a new plot.
  }, [theme.value, chart, shown]);
  return <div ref={frame} class="usage-plot" role="img" aria-label={chart.text} />;
}

function optionsOf(
  element: HTMLElement,
  { at, stepMs, format }: UsageChartModel,
  colours: readonly (number | null)[],
  onPoint: (index: number | null) => void,
): uPlot.Options {
  // A canvas needs a plain colour; the variable holds those of both themes.
  const plain = (colour: string): string => {
    element.style.color = colour;
    return getComputedStyle(element).color;
  };
  const from = at[0] ?? 0;
  const to = (at.at(-1) ?? 0) + stepMs;
  const axis: uPlot.Axis = {
    stroke: plain("var(--chart-text)"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: plain("var(--chart-grid)"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, x: true, points: { show: false }, drag: { x: false } },
    scales: {
      x: { time: false, range: [from / 1000, to / 1000] },
      // Ten of anything at least: one call must not fill the chart.
      y: { range: (_plot, _min, max) => [0, Math.max((max ?? 0) * 1.1, 10)] },
    },
    axes: [
      {
        ...axis,
        size: 24,
        gap: 6,
        grid: { show: false },
        splits: (plot) =>
          marks(from, to, stepMs, Math.max(2, Math.floor(plot.width / MARK_WIDTH))).map((ms) => ms / 1000),
        values: (_plot, splits) => splits.map((seconds) => markText(seconds * 1000)),
      },
      {
        ...axis,
        size: 58,
        gap: 6,
        space: 36,
        incrs: WHOLE_STEPS,
        values: (_plot, splits) => splits.map((value) => format(value).replace(".0 ", " ")),
      },
    ],
    series: [
      {},
      ...colours.map((colour) => ({
        stroke: "transparent",
        width: 0,
        fill: plain(colourOf(colour)),
        points: { show: false },
        paths: COLUMNS,
      })),
    ],
    hooks: { setCursor: [(plot) => onPoint(columnAt(plot, at, stepMs))] },
  };
}

/** Columns begin at their time; up to 64 CSS pixels wide. */
const COLUMNS = uPlot.paths.bars?.({ size: [0.82, 64], align: 1 }) ?? (() => null);

/** Distances between the marks of the figures: there are no parts of a call or a token. */
const WHOLE_STEPS = Array.from({ length: 48 }, (_, n) => ([1, 2, 5][n % 3] ?? 1) * 10 ** Math.floor(n / 3));

/** The column that contains the pointer; uPlot itself looks for the nearest start. */
function columnAt(plot: uPlot, at: readonly number[], stepMs: number): number | null {
  const [first] = at;
  const { left } = plot.cursor;
  if (first === undefined || left === undefined || left < 0) return null;
  const index = Math.floor((plot.posToVal(left, "x") * 1000 - first) / stepMs);
  return Math.min(Math.max(index, 0), at.length - 1);
}

const colourOf = (colour: number | null): string =>
  colour === null ? "var(--line-strong)" : `var(--series-${colour})`;
