// A program: reads a llama-server's output from standard input and writes the lines that a log may contain. Its arguments
// are the server's own command line, for the names of its model. It ends with the server's output and ignores signals
// before that: a process manager signals whole process groups, and the last lines matter most.
import { appendFileSync } from "node:fs";
import { LogScreen } from "./screen.ts";
import { lineJudge } from "./known-lines.ts";
import { LogSink } from "../telemetry/log-sink.ts";

/**
 * PM2 closes an app's log file as soon as the app exits, and loses its last lines if they come through a pipe. Lines are
 * therefore delayed by this time; those still delayed when the server has ended are the last ones, and this program
 * writes them to the file itself.
 */
const DELAY_MS = 50;

/** PM2 notices the server's end within this time; after it no line is written twice. */
const NOTICED_MS = 200;

/** How long writing the last lines may take. */
const LAST_LINES_MS = 2_000;

/** PM2 sets the path of a program's log in its environment. */
const LOG_FILE = process.env["pm_out_log_path"];

const screen = new LogScreen(lineJudge(modelNames(process.argv.slice(2))));
const sink = new LogSink(process.stdout.fd);
const clock = (): number => performance.now();

let held: { readonly at: number; readonly lines: readonly string[] }[] = [];
let release: NodeJS.Timeout | null = null;
let ended = false;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

const counting = setInterval(() => hold(screen.count(clock())), 1_000);
process.stdin.on("data", (chunk: Buffer) => hold(screen.push(chunk, clock())));
process.stdin.on("end", finish);
process.stdin.on("error", finish);

function hold(lines: readonly string[]): void {
  if (LOG_FILE === undefined) sink.write(lines);
  else if (lines.length > 0) held.push({ at: clock(), lines });
  if (held.length > 0) release ??= setTimeout(releaseNext, DELAY_MS);
}

/** A process that was late reads what has come meanwhile first: it may be the end. */
function releaseNext(): void {
  setImmediate(releaseDue);
}

function releaseDue(): void {
  if (ended) return;
  const due = clock() - DELAY_MS;
  sink.write(held.filter(({ at }) => at <= due).flatMap(({ lines }) => lines));
  held = held.filter(({ at }) => at > due);
  release = held.length === 0 ? null : setTimeout(releaseNext, DELAY_MS / 2);
}

function finish(): void {
  ended = true;
  clearInterval(counting);
  if (release !== null) clearTimeout(release);
  const last = [...held.flatMap(({ lines }) => lines), ...screen.end(clock())];
  if (LOG_FILE === undefined) {
    sink.write(last);
    leave();
    return;
  }
  setTimeout(() => {
    // Who watches the log still gets them through the pipe.
    sink.write(last);
    keep(LOG_FILE, last);
    leave();
  }, NOTICED_MS);
}

function keep(file: string, lines: readonly string[]): void {
  try {
    const now = new Date().toISOString();
    appendFileSync(file, lines.map((line) => `${now}: ${line}`).join(""));
  } catch {
    // A log that can't be written ends nothing.
  }
}

function leave(): void {
  setTimeout(() => process.exit(0), LAST_LINES_MS).unref();
  void sink.idle().then(() => process.exit(0));
}

/** What stands after the flags that name the model. */
function modelNames(args: readonly string[]): string[] {
  const flags = new Set(["-m", "--model", "-a", "--alias"]);
  return args.flatMap((arg, at) =>
    flags.has(arg) && args[at + 1] !== undefined ? [args[at + 1] ?? ""] : [],
  );
}
