// The programs of one stack, by name: starts them, distinguishes an expected exit from an unexpected one, ends all.
import { startProgram } from "./program.mjs";

/** @typedef {import("./program.mjs").Program} Program */
/** @typedef {import("./program.mjs").Exit} Exit */
/** @typedef {import("./program.mjs").Command} Command */
/** @typedef {{ name: string, exit: Exit, lines: string[] }} UnexpectedExit */

const LINES_TOLD = 5;
/** How long a program that was sent a signal may take before the caller goes on without its end. */
const SIGNAL_WAIT_MS = 30_000;

export class ProgramSet {
  /** @type {Map<string, Program>} */
  #programs = new Map();
  /** @type {WeakSet<Program>} */
  #expected = new WeakSet();
  #ending = false;
  #cwd;
  #onLine;
  #onExit;

  /**
   * @param {object} options
   * @param {string} options.cwd
   * @param {((name: string, line: string) => void) | undefined} options.onLine
   * @param {((exit: UnexpectedExit) => void) | undefined} options.onExit only unexpected exits
   */
  constructor({ cwd, onLine, onExit }) {
    this.#cwd = cwd;
    this.#onLine = onLine;
    this.#onExit = onExit;
  }

  /**
   * Starts a program and waits until it is ready; one that fails in this is ended.
   * @template T
   * @param {string} name
   * @param {Command} command
   * @param {(program: Program) => Promise<T>} ready
   * @returns {Promise<T>}
   */
  async launch(name, command, ready) {
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

  /** @param {string} name */
  get(name) {
    const program = this.#programs.get(name);
    if (program === undefined) {
      throw new Error(`there is no "${name}"; there are: ${[...this.#programs.keys()].join(", ")}`);
    }
    return program;
  }

  /**
   * Sends a signal whose effect the caller expects, and waits a while for the end it should bring.
   * @param {string} name
   * @param {NodeJS.Signals} signal
   */
  async signal(name, signal) {
    const program = this.get(name);
    const pauses = signal === "SIGSTOP" || signal === "SIGCONT";
    if (!pauses) this.#expected.add(program);
    program.signal(signal);
    if (pauses) return;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const tooLong = new Promise((resolve) => (timer = setTimeout(resolve, SIGNAL_WAIT_MS)));
    await Promise.race([program.exited, tooLong]);
    clearTimeout(timer);
  }

  /** @param {string} name @param {number} [graceMs] */
  async end(name, graceMs) {
    const program = this.get(name);
    this.#expected.add(program);
    await program.end(graceMs);
  }

  async endAll() {
    this.#ending = true;
    await Promise.all([...this.#programs.values()].map((program) => program.end()));
  }

  /** @param {Program} program @param {Exit} exit */
  #noticeExit(program, exit) {
    if (this.#ending || this.#expected.has(program)) return;
    this.#onExit?.({ name: program.name, exit, lines: program.lines(LINES_TOLD) });
  }
}
