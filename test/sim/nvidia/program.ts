// The simulated `nvidia-smi`, apart from the process it runs in.
import { NotAnswering, readBox } from "./box.ts";
import { readFlags, SmiError } from "./flags.ts";
import { csvHeader, csvRows, list, overview } from "./report.ts";

export interface Io {
  /** The switches: JSON, or the path of a JSON file that is read again for each report. */
  switches: string | undefined;
  print(text: string): void;
  exit(code: number): never;
}

/** Prints one report, and further ones at the interval of `-l` or `-lms`. */
export function runSmi(args: readonly string[], io: Io): void {
  guarded(io, () => {
    const query = readFlags(args);
    let lines = 0;
    const report = (first: boolean): void => {
      const box = readBox(io.switches);
      if (box.hang) return;
      if (query.kind === "overview") return io.print(overview(box, new Date()));
      if (query.kind === "list") return io.print(list(box));
      const rows = csvRows(query, box, new Date());
      for (const row of first && query.header ? [csvHeader(query), ...rows] : rows) {
        if (box.exitAfterLines !== null && lines >= box.exitAfterLines) io.exit(box.exitCode);
        io.print(`${row}\n`);
        lines += 1;
      }
    };
    report(true);
    if (readBox(io.switches).hang) setInterval(() => undefined, 60_000);
    if (query.everyMs !== null) setInterval(() => guarded(io, () => report(false)), query.everyMs);
  });
}

function guarded(io: Io, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SmiError || error instanceof NotAnswering)) throw error;
    // The real program complains on stdout too.
    io.print(`${error.message}\n`);
    io.exit(error.exitCode);
  }
}
