// One figure over time: its name, its value now (or under the pointer), and its curve. uPlot draws it.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clockTime } from "../model/duration.ts";
import { UNKNOWN } from "../model/figure.ts";
import type { ChartModel } from "../model/history-charts.ts";
import { theme } from "../state/theme.ts";

/** Of the plot with its axis, CSS pixels; the style has the same. */
const HEIGHT = 104;

interface ChartProps {
  readonly chart: ChartModel;
  /** Seconds since 1970. */
  readonly at: readonly number[];
  /** Charts with the same one show the same moment under the pointer. */
  readonly together: string;
  /** How much time the plot is wide, seconds, however little of it is recorded yet. */
  readonly spanS: number;
}

/** Marks on the time axis: a minute to six hours apart, seconds. */
const TIME_MARKS_S = [60, 300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600];

export function Chart({ chart, at, together, spanS }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const data = [[...at], ...chart.columns.map((column) => [...column])] as uPlot.AlignedData;
  // Colours are read when it is made: another theme, another plot.
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const made = new uPlot(optionsOf(element, { chart, together, spanS }, setPointed), data, element);
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    fit.observe(element);
    return () => {
      fit.disconnect();
      made.destroy();
    };
  }, [theme.value, chart.columns.length, chart.known, together, spanS]);
  useEffect(() => plot.current?.setData(data), [at, chart]);
  const last = at.length - 1;
  const index = pointed ?? last;
  const moment = pointed === null ? undefined : at[pointed];
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-name">{chart.name}</span>
        <span class="chart-value">
          {index < 0 ? UNKNOWN : chart.read(index)}
          {moment === undefined ? null : <span class="chart-at"> at {clockTime(moment * 1000)}</span>}
        </span>
      </figcaption>
      {chart.known ? (
        <div ref={frame} class="chart-frame" role="img" aria-label={chart.text} />
      ) : (
        <p class="chart-frame none">Not known</p>
      )}
    </figure>
  );
}

function optionsOf(
  element: HTMLElement,
  { chart, together, spanS }: Omit<ChartProps, "at">,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(name).trim();
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
      sync: { key: together },
      points: { show: !chart.stacked, size: 6 },
      drag: { x: false },
    },
    scales: {
      x: { range: (_plot, _least, most) => [most - spanS, most] },
      y: { range: (_plot, _least, most) => [0, chart.top ?? Math.max((most ?? 0) * 1.1, 1)] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 6,
        space: 60,
        incrs: TIME_MARKS_S,
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
  return clockTime(seconds * 1000).slice(0, 5);
}
