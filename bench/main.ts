// `npm run bench`: measures the rows, prints the table. Progress goes to stderr.
import { writeFile } from "node:fs/promises";
import { BENCH_USAGE, chooseRows, readBenchArguments, type BenchArguments } from "./bench-arguments.ts";
import { describeMachine } from "./runtimes.ts";
import type { Row } from "./row.ts";
import { ROWS } from "./rows.ts";
import { Stage } from "./stage.ts";
import { isKept, renderTable, type Result } from "./table.ts";

/** Events that end the bench; the last one means that the parent process has exited. */
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP", "disconnect"];
/** The exit code of shells after Ctrl-C. */
const INTERRUPTED = 130;

process.exitCode = await main(process.argv.slice(2));

/** @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  let wanted: BenchArguments;
  let rows: Row[];
  try {
    wanted = readBenchArguments(argv);
    rows = chooseRows(ROWS, wanted.only, wanted.peers);
  } catch (error) {
    console.error(messageOf(error));
    return 2;
  }
  if (wanted.help) {
    console.log(BENCH_USAGE);
    return 0;
  }
  const machine = describeMachine();
  const results = await measureAll(rows);
  console.log(`${machine}\n\n${renderTable(results)}`);
  if (wanted.json !== null) {
    const report = results.map((result) => ({
      ...result.row,
      ...(typeof result.measured === "object" ? result.measured : {}),
      kept: isKept(result),
    }));
    await writeFile(wanted.json, `${JSON.stringify({ machine, rows: report }, null, 2)}\n`);
  }
  if (results.some(({ measured }) => measured === null)) return 1;
  return wanted.strict && !results.every(isKept) ? 1 : 0;
}

/** A row that fails prints why; the others are still measured. */
async function measureAll(rows: readonly Row[]): Promise<Result[]> {
  const results: Result[] = [];
  const stage = new Stage();
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    void stage.end().finally(() => process.exit(INTERRUPTED));
  };
  for (const event of ENDINGS) process.on(event, stop);
  try {
    for (const row of rows) {
      if (stopped) break;
      const started = performance.now();
      const report = (text: string): void => console.error(`${row.name}: ${text}`);
      report("starting");
      const measured = await row.measure(stage, report).catch((error: unknown) => {
        if (!stopped) report(`failed: ${messageOf(error)}\n${stage.lastLines()}`);
        return null;
      });
      report(`took ${((performance.now() - started) / 1000).toFixed(0)} s`);
      results.push({ row, measured });
    }
  } finally {
    // A listener on "disconnect" would keep us running.
    for (const event of ENDINGS) process.off(event, stop);
    await stage.end();
  }
  return results;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
