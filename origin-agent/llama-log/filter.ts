// Filters a llama-server's output (a program of its own): reads standard input and writes the lines that a log may contain.
// Its arguments are the server's command line, for the names of its model. It ends with the server's output and ignores
// signals before that: a process manager signals whole process groups, and the last lines matter most.
import { appendFileSync } from "node:fs";
import { lineClassifier } from "./known-lines.ts";
import { LineFilter } from "./line-filter.ts";
import { LogSink } from "../telemetry/log-sink.ts";

/**
 * PM2 closes an app's log file as soon as the app exits, and loses its last lines if they come through a pipe. Lines are
 * therefore delayed by this time; those still delayed when the server has ended are the last ones, and this program
 * writes them to the file itself.
 */
const DELAY_MS = 50;

/** PM2 notices the server's exit within this time; after it no line is logged twice. */
const EXIT_NOTICED_MS = 200;

/** Limit for writing the last lines. */
const LAST_LINES_MS = 2_000;

/** PM2 sets the path of a program's log in its environment. */
const LOG_FILE = process.env["pm_out_log_path"];

const filter = new LineFilter(lineClassifier(modelNames(process.argv.slice(2))));
const sink = new LogSink(process.stdout.fd);
const clock = (): number => performance.now();

let delayed: { readonly at: number; readonly lines: readonly string[] }[] = [];
let releaseTimer: NodeJS.Timeout | null = null;
let ended = false;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

const counting = setInterval(() => delay(filter.count(clock())), 1_000);
process.stdin.on("data", (chunk: Buffer) => delay(filter.push(chunk, clock())));
process.stdin.on("end", finish);
process.stdin.on("error", finish);

function delay(lines: readonly string[]): void {
  if (LOG_FILE === undefined) sink.write(lines);
  else if (lines.length > 0) delayed.push({ at: clock(), lines });
  if (delayed.length > 0) releaseTimer ??= setTimeout(releaseNext, DELAY_MS);
}

/** If this process was late, it first reads the output that has arrived meanwhile, which may be the last. */
function releaseNext(): void {
  setImmediate(releaseDue);
}

function releaseDue(): void {
  if (ended) return;
  const due = clock() - DELAY_MS;
  sink.write(delayed.filter(({ at }) => at <= due).flatMap(({ lines }) => lines));
  delayed = delayed.filter(({ at }) => at > due);
  releaseTimer = delayed.length === 0 ? null : setTimeout(releaseNext, DELAY_MS / 2);
}

function finish(): void {
  ended = true;
  clearInterval(counting);
  if (releaseTimer !== null) clearTimeout(releaseTimer);
  const last = [...delayed.flatMap(({ lines }) => lines), ...filter.end(clock())];
  if (LOG_FILE === undefined) {
    sink.write(last);
    exitWhenWritten();
    return;
  }
  setTimeout(() => {
    // `pm2 logs` shows them from the pipe.
    sink.write(last);
    appendToLog(LOG_FILE, last);
    exitWhenWritten();
  }, EXIT_NOTICED_MS);
}

function appendToLog(file: string, lines: readonly string[]): void {
  try {
    const now = new Date().toISOString();
    appendFileSync(file, lines.map((line) => `${now}: ${line}`).join(""));
  } catch {
    // A log that can't be written must not stop the exit.
  }
}

function exitWhenWritten(): void {
  setTimeout(() => process.exit(0), LAST_LINES_MS).unref();
  void sink.idle().then(() => process.exit(0));
}

/** The values of the flags that name the model. */
function modelNames(args: readonly string[]): string[] {
  const flags = new Set(["-m", "--model", "-a", "--alias"]);
  return args.flatMap((arg, at) =>
    flags.has(arg) && args[at + 1] !== undefined ? [args[at + 1] ?? ""] : [],
  );
}
