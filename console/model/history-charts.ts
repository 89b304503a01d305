// A box's history as charts: columns, readings and a sentence each for those who don't see curves.
import type { FleetHistory } from "../../shared/fleet-view.ts";
import { figure, UNKNOWN } from "./figure.ts";

export interface ChartModel {
  readonly name: string;
  /** One a curve, each as long as the moments. */
  readonly columns: readonly (readonly (number | null)[])[];
  /** Of the server palette; null for the plain one. One a column. */
  readonly colours: readonly (number | null)[];
  readonly stacked: boolean;
  /** Whether there is anything to draw. */
  readonly known: boolean;
  /** The scale's upper end; null: as the figures have it. */
  readonly top: number | null;
  /** The figure at an index, in words. */
  readonly read: (index: number) => string;
  /** All of it in one sentence. */
  readonly text: string;
}

type Column = readonly (number | null)[];

/**
 * @param ports in the order the palette has them.
 * @param colours how many the palette has.
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
    plain("Tokens a second", tokensPerSecond, (value) => figure(value, 1), null),
    queueChart(busy, waiting),
  ].map((chart) =>
    memoryUsedGib.length === 0 ? { ...chart, text: `${chart.name}: nothing recorded yet` } : chart,
  );
}

function plain(
  name: string,
  column: Column,
  words: (value: number) => string,
  top: number | null,
): ChartModel {
  const read = (index: number): string => wordsOr(column[index], words);
  return {
    name,
    columns: [column],
    colours: [null],
    stacked: false,
    known: isKnown(column),
    top,
    read,
    text: spoken(name, column, words),
  };
}

/** Stacked by server where all of it is known by server; else one curve. */
function memoryChart(
  history: FleetHistory,
  ports: readonly number[],
  cardGib: number,
  colours: number,
): ChartModel {
  const name = "GPU memory";
  const words = (value: number): string => `${figure(value, 1)} GiB`;
  const whole = plain(name, history.memoryUsedGib, words, cardGib);
  const known = ports.flatMap((port, index) => {
    const column = history.serverGib[String(port)];
    return column === undefined || column.every((value) => value === null) ? [] : [{ column, index }];
  });
  if (known.length === 0) return whole;
  const sums: (number | null)[] = history.at.map(() => null);
  const stacked = known.map(({ column, index }) => {
    for (const [at, value] of column.entries()) {
      if (value !== null) sums[at] = (sums[at] ?? 0) + value;
    }
    return { column: [...sums], colour: index % colours };
  });
  // The highest is drawn first, so that each lower one covers its own part.
  stacked.reverse();
  return {
    ...whole,
    columns: stacked.map(({ column }) => column),
    colours: stacked.map(({ colour }) => colour),
    stacked: true,
    known: true,
  };
}

function queueChart(busy: Column, waiting: Column): ChartModel {
  const words = (value: number): string => figure(value);
  return {
    name: "Slots and queue",
    columns: [busy, waiting],
    colours: [null, 3],
    stacked: false,
    known: isKnown(busy) || isKnown(waiting),
    top: null,
    read: (index) => `${wordsOr(busy[index], words)} busy, ${wordsOr(waiting[index], words)} waiting`,
    text: `${spoken("Busy slots", busy, words)}; ${spoken("waiting calls", waiting, words)}`,
  };
}

function spoken(name: string, column: Column, words: (value: number) => string): string {
  const known = column.filter((value) => value !== null);
  const last = column.at(-1);
  if (known.length === 0) return `${name}: nothing known`;
  const least = words(Math.min(...known));
  const most = words(Math.max(...known));
  return `${name}: now ${last === null || last === undefined ? "unknown" : words(last)}, between ${least} and ${most}`;
}

const isKnown = (column: Column): boolean => column.some((value) => value !== null);

const wordsOr = (value: number | null | undefined, words: (value: number) => string): string =>
  value === null || value === undefined ? UNKNOWN : words(value);
