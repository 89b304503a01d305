// One figure over time: its name, its value now or at the pointer, and its curve, drawn by uPlot.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { timeText } from "../model/duration.ts";
import { UNKNOWN } from "../model/format.ts";
import type { ChartModel } from "../model/history-charts.ts";
import { theme } from "../state/theme.ts";

/** CSS pixels of the plot with its axis; charts.css has the same height. */
const HEIGHT = 104;

interface ChartProps {
  readonly chart: ChartModel;
  /** Seconds since 1970. */
  readonly at: readonly number[];
  /** Charts with the same key share the pointer's time. */
  readonly syncKey: string;
  /** Width of the time axis, even if less is recorded. */
  readonly rangeS: number;
}

/** Distances between marks on the time axis. */
const TICKS_S = [60, 300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600];

export function Chart({ chart, at, syncKey, rangeS }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const data = [[...at], ...chart.columns.map((column) => [...column])] as uPlot.AlignedData;
  // A plot reads its colours when it is created: a new theme needs a new plot.
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const created = new uPlot(optionsOf(element, { chart, syncKey, rangeS }, setPointed), data, element);
    plot.current = created;
    const fit = new ResizeObserver(() => created.setSize({ width: element.clientWidth, height: HEIGHT }));
    fit.observe(element);
    return () => {
      fit.disconnect();
      created.destroy();
    };
  }, [theme.value, chart.columns.length, chart.known, syncKey, rangeS]);
  useEffect(() => plot.current?.setData(data), [at, chart]);
  const last = at.length - 1;
  const index = pointed ?? last;
  const pointedAt = pointed === null ? undefined : at[pointed];
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-name">{chart.name}</span>
        <span class="chart-value">
          {index < 0 ? UNKNOWN : chart.read(index)}
          {pointedAt === undefined ? null : <span class="chart-at"> at {timeText(pointedAt * 1000)}</span>}
        </span>
      </figcaption>
      {chart.known ? (
        <div ref={frame} class="chart-frame" role="img" aria-label={chart.text} />
      ) : (
        <p class="chart-frame none">Unknown</p>
      )}
    </figure>
  );
}

function optionsOf(
  element: HTMLElement,
  { chart, syncKey, rangeS }: Omit<ChartProps, "at">,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  // A canvas needs a plain colour; the variable holds those of both themes.
  const of = (name: string): string => {
    element.style.color = `var(${name})`;
    return getComputedStyle(element).color;
  };
  const axis: uPlot.Axis = {
    stroke: of("--chart-text"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: of("--chart-grid"), width: 1 },
    ticks: { show: false },
  };
  const lines = chart.colours.map((colour): uPlot.Series => {
    const line = of(colour === null ? "--chart-line" : `--series-${colour}`);
    return {
      stroke: line,
      width: chart.stacked ? 1 : 1.5,
      fill: chart.stacked ? line : of("--chart-fill"),
      points: { show: false },
      spanGaps: false,
    };
  });
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [6, 14, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      sync: { key: syncKey },
      points: { show: !chart.stacked, size: 6 },
      drag: { x: false },
    },
    scales: {
      x: { range: (_plot, _min, max) => [max - rangeS, max] },
      y: { range: (_plot, _min, max) => [0, chart.top ?? Math.max((max ?? 0) * 1.1, 1)] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 6,
        space: 60,
        incrs: TICKS_S,
        grid: { show: false },
        values: (_plot, splits) => splits.map(hourAndMinute),
      },
      { ...axis, size: 30, gap: 4, space: 26 },
    ],
    series: [{}, ...lines],
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
  };
}

function hourAndMinute(seconds: number): string {
  return timeText(seconds * 1000).slice(0, 5);
}
