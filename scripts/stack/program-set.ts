// The programs of one stack, by name: starts them, distinguishes an expected exit from an unexpected one, ends all.
import { startProgram, type Program, type Exit, type Command } from "./program.ts";

export interface UnexpectedExit {
  name: string;
  exit: Exit;
  lines: string[];
}

const LINES_TOLD = 5;
/** How long a program that was sent a signal may take before the caller goes on without its end. */
const SIGNAL_WAIT_MS = 30_000;

export class ProgramSet {
  #programs = new Map<string, Program>();
  #expected = new WeakSet<Program>();
  #ending = false;
  #cwd;
  #onLine;
  #onExit;

  constructor({
    cwd,
    onLine,
    onExit,
  }: {
    cwd: string;
    onLine: ((name: string, line: string) => void) | undefined;
    /** Only unexpected exits. */
    onExit: ((exit: UnexpectedExit) => void) | undefined;
  }) {
    this.#cwd = cwd;
    this.#onLine = onLine;
    this.#onExit = onExit;
  }

  /** Starts a program and waits until it is ready; one that fails in this is ended. */
  async launch<T>(name: string, command: Command, ready: (program: Program) => Promise<T>): Promise<T> {
    if (this.#ending) throw new Error(`${name} isn't started: everything is being ended`);
    const onLine = this.#onLine;
    const program = startProgram(name, command, {
      cwd: this.#cwd,
      onLine: onLine && ((line) => onLine(name, line)),
    });
    this.#programs.set(name, program);
    try {
      const value = await ready(program);
      void program.exited.then((exit) => this.#noticeExit(program, exit));
      return value;
    } catch (error) {
      this.#expected.add(program);
      await program.end();
      throw error;
    }
  }

  get(name: string) {
    const program = this.#programs.get(name);
    if (program === undefined) {
      throw new Error(`there is no "${name}"; there are: ${[...this.#programs.keys()].join(", ")}`);
    }
    return program;
  }

  /** Sends a signal whose effect the caller expects, and waits a while for the end it should bring. */
  async signal(name: string, signal: NodeJS.Signals) {
    const program = this.get(name);
    const pauses = signal === "SIGSTOP" || signal === "SIGCONT";
    if (!pauses) this.#expected.add(program);
    program.signal(signal);
    if (pauses) return;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise((resolve) => (timer = setTimeout(resolve, SIGNAL_WAIT_MS)));
    await Promise.race([program.exited, tooLong]);
    clearTimeout(timer);
  }

  async end(name: string, graceMs?: number) {
    const program = this.get(name);
    this.#expected.add(program);
    await program.end(graceMs);
  }

  async endAll() {
    this.#ending = true;
    await Promise.all([...this.#programs.values()].map((program) => program.end()));
  }

  #noticeExit(program: Program, exit: Exit) {
    if (this.#ending || this.#expected.has(program)) return;
    this.#onExit?.({ name: program.name, exit, lines: program.lines(LINES_TOLD) });
  }
}
