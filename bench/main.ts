// `npm run bench`: measures the rows, or with `--scale` the curves, and prints them. Progress goes to stderr.
import { writeFile } from "node:fs/promises";
import { BENCH_USAGE, chooseRows, readBenchArguments, type BenchArguments } from "./bench-arguments.ts";
import { describeMachine } from "./runtimes.ts";
import type { Row } from "./row.ts";
import { ROWS } from "./rows.ts";
import { CURVES } from "./scale/curves.ts";
import { drawCurves } from "./scale/drawing.ts";
import { measureCurves } from "./scale/scale.ts";
import { renderCurves } from "./scale/table.ts";
import { Stage } from "./stage.ts";
import { isKept, renderTable, type Result } from "./table.ts";

/** Events that end the bench; the last one means that the parent process has exited. */
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP", "disconnect"];
/** The exit code of shells after Ctrl-C. */
const INTERRUPTED = 130;

process.exitCode = await main(process.argv.slice(2));

/** @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  let run: () => Promise<number>;
  try {
    const wanted = readBenchArguments(argv);
    if (wanted.help) {
      console.log(BENCH_USAGE);
      return 0;
    }
    run = wanted.scale ? planScale(wanted) : planTable(wanted);
  } catch (error) {
    console.error(messageOf(error));
    return 2;
  }
  return run();
}

function planTable({ only, peers, json, strict }: BenchArguments): () => Promise<number> {
  const rows = chooseRows(ROWS, only, peers);
  return async () => {
    const machine = describeMachine();
    const results = await onStage((stage, stopped) => measureAll(rows, stage, stopped));
    console.log(`${machine}\n\n${renderTable(results)}`);
    const report = results.map((result) => ({
      ...result.row,
      ...(typeof result.measured === "object" ? result.measured : {}),
      kept: isKept(result),
    }));
    if (json !== null) await writeFile(json, jsonText({ machine, rows: report }));
    if (results.some(({ measured }) => measured === null)) return 1;
    return strict && !results.every(isKept) ? 1 : 0;
  };
}

function planScale({ only, json, svg }: BenchArguments): () => Promise<number> {
  const curves = chooseRows(CURVES, only, false);
  return async () => {
    const machine = describeMachine();
    const measured = await onStage((stage, stopped) => measureCurves(curves, stage, console.error, stopped));
    console.log(`${machine}\n\n${renderCurves(measured)}`);
    if (json !== null) await writeFile(json, jsonText({ machine, curves: measured }));
    if (svg !== null) await writeFile(svg, drawCurves(measured));
    return measured.some(({ points }) => points === null) ? 1 : 0;
  };
}

/** Ends every program that the work started, also when this one is interrupted. */
async function onStage<T>(work: (stage: Stage, stopped: () => boolean) => Promise<T>): Promise<T> {
  const stage = new Stage();
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    void stage.end().finally(() => process.exit(INTERRUPTED));
  };
  for (const event of ENDINGS) process.on(event, stop);
  try {
    return await work(stage, () => stopped);
  } finally {
    // A listener on "disconnect" would keep us running.
    for (const event of ENDINGS) process.off(event, stop);
    await stage.end();
  }
}

/** A row that fails prints why; the others are still measured. */
async function measureAll(rows: readonly Row[], stage: Stage, stopped: () => boolean): Promise<Result[]> {
  const results: Result[] = [];
  for (const row of rows) {
    if (stopped()) break;
    const started = performance.now();
    const report = (text: string): void => console.error(`${row.name}: ${text}`);
    report("starting");
    const measured = await row.measure(stage, report).catch((error: unknown) => {
      if (!stopped()) report(`failed: ${messageOf(error)}\n${stage.lastLines()}`);
      return null;
    });
    report(`took ${((performance.now() - started) / 1000).toFixed(0)} s`);
    results.push({ row, measured });
  }
  return results;
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
