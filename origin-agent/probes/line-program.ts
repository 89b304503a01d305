// A program that is kept running for the lines it prints: started again with growing pauses when it ends,
// ended when it falls silent. Never more than one of it at a time: one that can't be killed (a driver that
// hangs holds its callers) is waited for, not multiplied.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";
import { backoffMs } from "../../shared/backoff.ts";

/** Longest line kept, characters; the rest of a longer one is thrown away. */
const MAX_LINE = 4_096;

/** How much of a program's last words is kept, characters. */
const MAX_WORDS = 200;

/** How long output is waited for after a program's end, milliseconds; a child of its own could hold the pipe. */
const DRAIN_MS = 500;

/** How long a stop waits for a process that was killed, milliseconds; one that a driver holds may never go. */
const STOP_MS = 2_000;

/** What has run so many times the first pause, and printed, is steady. */
const STEADY_PAUSES = 10;

export type ProgramProblem =
  /** There is no such program, or it can't be run. */
  | { readonly kind: "missing" }
  /** It ended. `words`: the last line it printed that wasn't what was asked for. */
  | { readonly kind: "ended"; readonly code: number | null; readonly words: string }
  /** It runs and printed nothing for too long. */
  | { readonly kind: "silent" }
  /** It prints, and nothing that could be read. */
  | { readonly kind: "garbage"; readonly words: string };

/** All in milliseconds. */
export interface ProgramPaces {
  /** Without a readable line for so long it is ended; null: it may be silent. */
  readonly silence: number | null;
  /** Pause before it is started again; doubles up to the next. After a steady time it begins anew. */
  readonly firstPause: number;
  readonly longestPause: number;
  /** The same for a program that isn't there. */
  readonly missingPause: number;
}

export interface LineProgramOptions {
  readonly command: readonly [string, ...string[]];
  readonly args: readonly string[];
  /** The environment it gets; this process's own where left out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly paces: ProgramPaces;
  /** @returns whether the line could be read. */
  readonly onLine: (line: string) => boolean;
  readonly onProblem: (problem: ProgramProblem) => void;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

export class LineProgram {
  readonly #options: LineProgramOptions;
  #child: Child | null = null;
  #carry = "";
  /** In the middle of a line that is too long. */
  #skipping = false;
  #words = "";
  /** Ends in a row without a steady run in between. */
  #failures = 0;
  #killedFor: ProgramProblem | null = null;
  #silence: NodeJS.Timeout | undefined;
  #steady: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;
  #stopped = false;
  #ended: (() => void) | null = null;

  constructor(options: LineProgramOptions) {
    this.#options = options;
  }

  /** The process that runs, if one does. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  start(): void {
    if (this.#stopped || this.#child !== null) return;
    const [program, ...first] = this.#options.command;
    const child = spawn(program, [...first, ...this.#options.args], {
      env: this.#options.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#carry = "";
    this.#skipping = false;
    this.#words = "";
    this.#killedFor = null;
    child.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => this.#keepWords(text));
    child.once("exit", () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, DRAIN_MS).unref();
    });
    child.once("error", (error) => {
      // Without a pid it never started; with one it is only a signal that couldn't be sent.
      if (child.pid === undefined)
        this.#over(child, isMissing(error) ? { kind: "missing" } : this.#end(null));
    });
    child.once("close", (code) => this.#over(child, this.#killedFor ?? this.#end(code)));
    this.#listen();
  }

  /** Ends the process, to be started again after a pause. */
  restart(problem: ProgramProblem): void {
    if (this.#child === null || this.#killedFor !== null) return;
    this.#killedFor = problem;
    this.#options.onProblem(problem);
    this.#child.kill("SIGKILL");
  }

  /** Ends the process for good; resolves once it is gone, or can't be ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#again);
    clearTimeout(this.#silence);
    if (this.#child === null) return;
    const child = this.#child;
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(resolve, STOP_MS);
      this.#ended = () => {
        clearTimeout(giveUp);
        resolve();
      };
      child.kill("SIGKILL");
    });
  }

  #over(child: Child, problem: ProgramProblem): void {
    if (this.#child !== child) return;
    this.#child = null;
    clearTimeout(this.#silence);
    clearTimeout(this.#steady);
    this.#steady = undefined;
    this.#ended?.();
    if (this.#stopped) return;
    const { missingPause, firstPause, longestPause } = this.#options.paces;
    this.#failures += 1;
    const pause =
      problem.kind === "missing"
        ? missingPause
        : backoffMs({ minMs: firstPause, maxMs: longestPause }, this.#failures);
    this.#again = setTimeout(() => this.start(), pause);
    this.#again.unref();
    if (this.#killedFor === null) this.#options.onProblem(problem);
  }

  #end(code: number | null): ProgramProblem {
    return { kind: "ended", code, words: this.#words };
  }

  #read(text: string): void {
    const lines = (this.#carry + text).split("\n");
    this.#carry = lines.pop() ?? "";
    for (const line of lines) {
      if (this.#skipping) this.#skipping = false;
      else this.#take(line);
    }
    if (this.#carry.length > MAX_LINE) {
      this.#keepWords(this.#carry);
      this.#skipping = true;
    }
    if (this.#skipping) this.#carry = "";
  }

  #take(line: string): void {
    const text = line.trim();
    if (text === "") return;
    if (text.length > MAX_LINE || !this.#options.onLine(text)) return this.#keepWords(text);
    this.#words = "";
    this.#steady ??= setTimeout(() => {
      this.#failures = 0;
    }, this.#options.paces.firstPause * STEADY_PAUSES).unref();
    this.#listen();
  }

  #keepWords(text: string): void {
    const words = text.trim();
    if (words !== "") this.#words = words.slice(0, MAX_WORDS);
  }

  /** Starts the wait for the next readable line anew. */
  #listen(): void {
    clearTimeout(this.#silence);
    const { silence } = this.#options.paces;
    if (silence === null || this.#killedFor !== null) return;
    this.#silence = setTimeout(() => {
      this.restart(this.#words === "" ? { kind: "silent" } : { kind: "garbage", words: this.#words });
    }, silence);
    this.#silence.unref();
  }
}

function isMissing(error: Error): boolean {
  const code = "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "EACCES" || code === "ENOTDIR";
}
