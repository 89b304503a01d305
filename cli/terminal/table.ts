// Formats tables and lists of fields: aligned, and cut to the width of a terminal. Pure.
import { cutTo, plain, widthOf } from "./safe-text.ts";
import type { Output } from "../context.ts";

export interface Column {
  readonly title: string;
  /** Aligned right, for figures. */
  readonly right?: boolean;
  /** May be cut on a narrow terminal. */
  readonly cut?: boolean;
  /** Left out, the last one first, if the terminal is too narrow even for cut columns. */
  readonly spare?: boolean;
}

/** The output's width, and whether it can show bold text. */
export type Screen = Pick<Output, "columns" | "colours">;

const GAP = "  ";
/** A column is never cut below this: less is useless. */
const MIN_WIDTH = 8;

/** @param total a last row, below a line. */
export function tableText(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  screen: Screen,
  total?: readonly string[],
): string {
  const titles = columns.map(({ title }) => title);
  const cells = [titles, ...rows, ...(total === undefined ? [] : [total])].map((row) => row.map(plain));
  const shown = fit(measured(columns, cells, screen.columns), screen.columns);
  const [heading = "", ...lines] = cells.map((row) =>
    shown
      .map(({ index, right, width }) => pad(row[index] ?? "", width, right === true))
      .join(GAP)
      .trimEnd(),
  );
  const ruler = shown.map(({ width }) => "─".repeat(width)).join(GAP);
  const body = total === undefined ? lines : [...lines.slice(0, -1), ruler, ...lines.slice(-1)];
  return `${[bold(heading, screen), ...body].join("\n")}\n`;
}

/** Lines of `name   value`; fields without a value are left out. */
export function fieldsText(fields: readonly (readonly [string, string | null])[]): string {
  const shown = fields.filter((field): field is readonly [string, string] => field[1] !== null);
  const width = Math.max(0, ...shown.map(([name]) => widthOf(name)));
  return shown.map(([name, value]) => `  ${pad(name, width, false)}  ${plain(value)}\n`).join("");
}

export function bold(text: string, { colours }: Pick<Screen, "colours">): string {
  return colours ? `\u001b[1m${text}\u001b[22m` : text;
}

interface Measured extends Column {
  /** Position in a row. */
  readonly index: number;
  readonly width: number;
}

function measured(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  available: number | null,
): Measured[] {
  return columns.map((column, index) => {
    const width = rows.reduce((max, row) => Math.max(max, widthOf(row[index] ?? "")), 0);
    const max = column.cut === true && available !== null ? available : Infinity;
    return { ...column, index, width: Math.min(width, max) };
  });
}

/** Narrows or drops columns until they fit; keeps all in full if the output is not a terminal. */
function fit(columns: readonly Measured[], available: number | null): readonly Measured[] {
  const over =
    columns.reduce((sum, { width }) => sum + width, GAP.length * (columns.length - 1)) -
    (available ?? Infinity);
  if (over <= 0) return columns;
  const room = columns.reduce((sum, column) => sum + roomIn(column), 0);
  const spare = columns.findLastIndex((column) => column.spare === true);
  if (room < over && spare >= 0) return fit(columns.toSpliced(spare, 1), available);
  // Too narrow for any table: the terminal wraps the lines.
  if (room === 0) return columns;
  const widest = columns.reduce((best, column) => (roomIn(column) > roomIn(best) ? column : best));
  return fit(
    columns.map((column) => (column === widest ? { ...column, width: column.width - 1 } : column)),
    available,
  );
}

/** Columns by which it may still be cut. */
const roomIn = ({ cut, width }: Measured): number => (cut === true ? Math.max(0, width - MIN_WIDTH) : 0);

function pad(text: string, width: number, right: boolean): string {
  const shown = cutTo(text, width);
  const space = " ".repeat(Math.max(0, width - widthOf(shown)));
  return right ? space + shown : shown + space;
}
