// Keeps one program running for the lines it prints: starts it again after a growing pause when it exits, and kills
// it when it prints nothing for too long. Never runs two at a time: a process that can't be killed (a hung driver
// blocks its callers) is waited for.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";
import { backoffMs, type Backoff } from "../../shared/backoff.ts";

/** Longest line that is read, in characters; a longer one is skipped. */
const MAX_LINE = 4_096;

/** How much of an unreadable line a problem includes, in characters. */
const MAX_OUTPUT = 200;

/** How long output is read after the program's exit; a child of its own could keep the pipe open. */
const DRAIN_MS = 500;

/** How long `stop` waits for a killed process; one that is blocked in a driver may never exit. */
const STOP_MS = 2_000;

/** A program that printed a line and ran for this many minimum pauses is stable: its failures are forgotten. */
const STABLE_PAUSES = 10;

export type ProgramProblem =
  /** The program doesn't exist or can't be run. */
  | { readonly kind: "missing" }
  /** It exited. `output`: the last unreadable line that it printed. */
  | { readonly kind: "exited"; readonly code: number | null; readonly output: string }
  /** It is running and has printed nothing for too long. */
  | { readonly kind: "silent" }
  /** It prints, but nothing that could be parsed. */
  | { readonly kind: "malformed"; readonly output: string };

export interface ProgramTimings {
  /** Kill it if it prints no readable line for this time; null: it may be silent. */
  readonly silenceMs: number | null;
  /** Pauses before it is started again. They start over once it is stable. */
  readonly restart: Backoff;
  /** Pause before a missing program is tried again. */
  readonly missingRetryMs: number;
}

export interface LineProgramOptions {
  readonly command: readonly [string, ...string[]];
  readonly args: readonly string[];
  /** The program's environment; this process's own if absent. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly timings: ProgramTimings;
  /** @returns whether the line was readable */
  readonly onLine: (line: string) => boolean;
  readonly onProblem: (problem: ProgramProblem) => void;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

export class LineProgram {
  readonly #options: LineProgramOptions;
  #child: Child | null = null;
  #partialLine = "";
  /** Inside a line that is too long. */
  #skipping = false;
  /** The last unreadable output since the last readable line. */
  #unreadable = "";
  /** Exits in a row, without a stable run in between. */
  #failures = 0;
  #killedFor: ProgramProblem | null = null;
  #silenceTimer: NodeJS.Timeout | undefined;
  #stableTimer: NodeJS.Timeout | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  #onStopped: (() => void) | null = null;

  constructor(options: LineProgramOptions) {
    this.#options = options;
  }

  /** The running process, if there is one. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  start(): void {
    if (this.#stopped || this.#child !== null) return;
    this.#partialLine = "";
    this.#skipping = false;
    this.#unreadable = "";
    this.#killedFor = null;
    try {
      this.#spawn();
    } catch {
      // Node throws if there is no memory for a process, or no file handle for its pipes.
      this.#ended(this.#exited(null));
    }
  }

  #spawn(): void {
    const { command, args, env } = this.#options;
    const [program, ...first] = command;
    const child = spawn(program, [...first, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.once("error", (error) => {
      // Without a pid the process never started; with one, only a signal couldn't be sent.
      if (child.pid === undefined)
        this.#onExit(child, isMissing(error) ? { kind: "missing" } : this.#exited(null));
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => this.#keepUnreadable(text));
    child.once("exit", () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, DRAIN_MS).unref();
    });
    child.once("close", (code) => this.#onExit(child, this.#killedFor ?? this.#exited(code)));
    this.#restartSilenceTimer();
  }

  /** Kills the process; it is started again after a pause. */
  restart(problem: ProgramProblem): void {
    if (this.#child === null || this.#killedFor !== null) return;
    this.#killedFor = problem;
    this.#options.onProblem(problem);
    this.#child.kill("SIGKILL");
  }

  /** Kills the process for good; resolves once it has exited, or after 2 s. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#silenceTimer);
    if (this.#child === null) return;
    const child = this.#child;
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(resolve, STOP_MS);
      this.#onStopped = () => {
        clearTimeout(giveUp);
        resolve();
      };
      child.kill("SIGKILL");
    });
  }

  #onExit(child: Child, problem: ProgramProblem): void {
    if (this.#child === child) this.#ended(problem);
  }

  #ended(problem: ProgramProblem): void {
    this.#child = null;
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#stableTimer);
    this.#stableTimer = undefined;
    this.#onStopped?.();
    if (this.#stopped) return;
    const { missingRetryMs, restart } = this.#options.timings;
    this.#failures += 1;
    const pause = problem.kind === "missing" ? missingRetryMs : backoffMs(restart, this.#failures);
    this.#restartTimer = setTimeout(() => this.start(), pause).unref();
    if (this.#killedFor === null) this.#options.onProblem(problem);
  }

  #exited(code: number | null): ProgramProblem {
    return { kind: "exited", code, output: this.#unreadable };
  }

  #read(text: string): void {
    const lines = (this.#partialLine + text).split("\n");
    this.#partialLine = lines.pop() ?? "";
    for (const line of lines) {
      if (this.#skipping) this.#skipping = false;
      else this.#handleLine(line);
    }
    if (this.#partialLine.length > MAX_LINE) {
      this.#keepUnreadable(this.#partialLine);
      this.#skipping = true;
    }
    if (this.#skipping) this.#partialLine = "";
  }

  #handleLine(line: string): void {
    const text = line.trim();
    if (text === "") return;
    if (text.length > MAX_LINE || !this.#isReadable(text)) return this.#keepUnreadable(text);
    this.#unreadable = "";
    this.#stableTimer ??= setTimeout(() => {
      this.#failures = 0;
    }, this.#options.timings.restart.minMs * STABLE_PAUSES).unref();
    this.#restartSilenceTimer();
  }

  #isReadable(line: string): boolean {
    try {
      return this.#options.onLine(line);
    } catch {
      return false;
    }
  }

  #keepUnreadable(output: string): void {
    const text = output.trim();
    if (text !== "") this.#unreadable = text.slice(0, MAX_OUTPUT);
  }

  #restartSilenceTimer(): void {
    clearTimeout(this.#silenceTimer);
    const { silenceMs } = this.#options.timings;
    if (silenceMs === null || this.#killedFor !== null) return;
    this.#silenceTimer = setTimeout(() => {
      const output = this.#unreadable;
      this.restart(output === "" ? { kind: "silent" } : { kind: "malformed", output });
    }, silenceMs).unref();
  }
}

function isMissing(error: Error): boolean {
  const code = "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "EACCES" || code === "ENOTDIR";
}
