// Turns a box's history into charts: columns, values, and a text for screen readers.
import type { FleetHistory } from "../../shared/fleet-view.ts";
import { figure, UNKNOWN } from "./format.ts";

export interface ChartModel {
  readonly name: string;
  /** One for each curve, with a value for each time. */
  readonly columns: readonly (readonly (number | null)[])[];
  /** Index in the server palette for each column; null for the default colour. */
  readonly colours: readonly (number | null)[];
  readonly stacked: boolean;
  /** Whether there is any value to draw. */
  readonly known: boolean;
  /** The scale's upper end; null to fit the figures. */
  readonly top: number | null;
  /** The figure at an index, as text. */
  readonly read: (index: number) => string;
  /** The chart in one sentence. */
  readonly text: string;
}

/** Two rows this many steps apart have a gap between them. */
const GAP_STEPS = 3;

/**
 * A history with a row of unknown figures in each gap, so that no curve crosses it, and at its end if that is long ago,
 * so that its last figures don't look current.
 */
export function withGaps(history: FleetHistory, now: number): FleetHistory {
  const stepMs = history.stepS * 1000;
  const isGap = (from: number | undefined, to: number): boolean =>
    from !== undefined && to - from >= GAP_STEPS * stepMs;
  // The index of each row; null for an unknown one.
  const rows = history.at.flatMap((at, index): { readonly at: number; readonly index: number | null }[] => {
    const before = history.at[index - 1];
    const row = { at, index };
    return before !== undefined && isGap(before, at) ? [{ at: before + stepMs, index: null }, row] : [row];
  });
  if (isGap(history.at.at(-1), now)) rows.push({ at: now, index: null });
  if (rows.length === history.at.length) return history;
  const spread = (column: Column): (number | null)[] =>
    rows.map(({ index }) => (index === null ? null : (column[index] ?? null)));
  return {
    ...history,
    at: rows.map(({ at }) => at),
    memoryUsedGib: spread(history.memoryUsedGib),
    utilizationPercent: spread(history.utilizationPercent),
    temperatureC: spread(history.temperatureC),
    powerWatts: spread(history.powerWatts),
    tokensPerSecond: spread(history.tokensPerSecond),
    busy: spread(history.busy),
    waiting: spread(history.waiting),
    serverGib: Object.fromEntries(
      Object.entries(history.serverGib).map(([port, column]) => [port, spread(column)]),
    ),
  };
}

type Column = readonly (number | null)[];

/**
 * @param ports in the order of the palette.
 * @param colours size of the palette.
 */
export function historyCharts(
  history: FleetHistory,
  ports: readonly number[],
  cardGib: number,
  colours: number,
): ChartModel[] {
  const { memoryUsedGib, utilizationPercent, temperatureC, powerWatts, tokensPerSecond, busy, waiting } =
    history;
  return [
    memoryChart(history, ports, cardGib, colours),
    plain("Utilisation", utilizationPercent, (value) => `${figure(value)} %`, 100),
    plain("Temperature", temperatureC, (value) => `${figure(value)} °C`, null),
    plain("Power", powerWatts, (value) => `${figure(value)} W`, null),
    plain("Tokens per second", tokensPerSecond, (value) => figure(value, 1), null),
    queueChart(busy, waiting),
  ].map((chart) =>
    memoryUsedGib.length === 0 ? { ...chart, text: `${chart.name}: nothing recorded yet` } : chart,
  );
}

function plain(
  name: string,
  column: Column,
  format: (value: number) => string,
  top: number | null,
): ChartModel {
  const read = (index: number): string => formatOr(column[index], format);
  return {
    name,
    columns: [column],
    colours: [null],
    stacked: false,
    known: isKnown(column),
    top,
    read,
    text: rangeText(name, column, format),
  };
}

/** Stacked by server if the servers' memory is known; otherwise one curve. */
function memoryChart(
  history: FleetHistory,
  ports: readonly number[],
  cardGib: number,
  colours: number,
): ChartModel {
  const name = "GPU memory";
  const format = (value: number): string => `${figure(value, 1)} GiB`;
  const total = plain(name, history.memoryUsedGib, format, cardGib);
  const known = ports.flatMap((port, index) => {
    const column = history.serverGib[String(port)];
    return column === undefined || column.every((value) => value === null) ? [] : [{ column, index }];
  });
  if (known.length === 0) return total;
  const sums: (number | null)[] = history.at.map(() => null);
  const stacked = known.map(({ column, index }) => {
    for (const [at, value] of column.entries()) {
      if (value !== null) sums[at] = (sums[at] ?? 0) + value;
    }
    return { column: [...sums], colour: index % colours };
  });
  // The highest curve is drawn first, so that each lower one covers its own part.
  stacked.reverse();
  return {
    ...total,
    columns: stacked.map(({ column }) => column),
    colours: stacked.map(({ colour }) => colour),
    stacked: true,
    known: true,
  };
}

function queueChart(busy: Column, waiting: Column): ChartModel {
  const format = (value: number): string => figure(value);
  return {
    name: "Slots and queue",
    columns: [busy, waiting],
    colours: [null, 3],
    stacked: false,
    known: isKnown(busy) || isKnown(waiting),
    top: null,
    read: (index) => `${formatOr(busy[index], format)} busy, ${formatOr(waiting[index], format)} waiting`,
    text: `${rangeText("Busy slots", busy, format)}; ${rangeText("waiting calls", waiting, format)}`,
  };
}

function rangeText(name: string, column: Column, format: (value: number) => string): string {
  const known = column.filter((value) => value !== null);
  const last = column.at(-1);
  if (known.length === 0) return `${name}: no data`;
  const min = format(Math.min(...known));
  const max = format(Math.max(...known));
  return `${name}: now ${last === null || last === undefined ? "unknown" : format(last)}, between ${min} and ${max}`;
}

const isKnown = (column: Column): boolean => column.some((value) => value !== null);

const formatOr = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? UNKNOWN : format(value);
