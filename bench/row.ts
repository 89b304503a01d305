// Describes a row of the table: its name, its bound, and how it is measured.
import type { Stage } from "./stage.ts";

export interface Measured {
  readonly figure: number;
  /** The floor's figure in the same unit, and the ratio of ours to it; null without a floor. */
  readonly floor: number | null;
  readonly ratio: number | null;
  /** Further figures, shown at the end of the line. */
  readonly note?: string;
  /** For `--json`. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface Bound {
  readonly on: "ratio" | "figure";
  /** What `--strict` enforces. */
  readonly atMost: number;
  /** The design's figure, if it isn't reached yet; the README says why. */
  readonly goal?: number;
}

export interface Row {
  readonly name: string;
  /** Empty for a count. */
  readonly unit: "µs" | "KB" | "MB" | "ms" | "%" | "";
  /** Applies to the figure or to its ratio to the floor; null: the figure is only reported. */
  readonly bound: Bound | null;
  /** Measured only with `--peers`. */
  readonly peer?: true;
  readonly measure: (stage: Stage, progress: (text: string) => void) => Promise<Measured | "skipped">;
}
