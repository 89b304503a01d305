// A program that behaves as nvidia-smi does on a box with an RTX 3090, as far as the origin agent asks it:
// `--query-gpu`, `--query-compute-apps`, `--format=csv`, `-l`/`-lms`, and the table without arguments.
import { readFlags, SmiError } from "./nvidia/flags.ts";
import { NotAnswering, readBox } from "./nvidia/box.ts";
import { csvHeader, csvRows, overview } from "./nvidia/report.ts";

/** Where the switches are: JSON, or the path of a JSON file that is read anew for each report. */
const SWITCHES = process.env["NVIDIA_SMI_SIM"];

function main(): void {
  const query = readFlags(process.argv.slice(2));
  let lines = 0;
  const report = (first: boolean): void => {
    const box = readBox(SWITCHES);
    if (box.hang) return;
    if (query.kind === "overview") {
      process.stdout.write(overview(box, new Date()));
      return;
    }
    const rows = csvRows(query, box, new Date());
    for (const row of first && query.header ? [csvHeader(query), ...rows] : rows) {
      if (box.exitAfterLines !== null && lines >= box.exitAfterLines) process.exit(box.exitCode);
      process.stdout.write(`${row}\n`);
      lines += 1;
    }
  };
  report(true);
  if (readBox(SWITCHES).hang) setInterval(() => undefined, 60_000);
  if (query.everyMs !== null) setInterval(() => guarded(() => report(false)), query.everyMs);
}

function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SmiError || error instanceof NotAnswering)) throw error;
    // The real program complains on stdout too.
    process.stdout.write(`${error.message}\n`);
    process.exit(error.exitCode);
  }
}

guarded(main);
