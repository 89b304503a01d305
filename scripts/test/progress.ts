// Prints how far a run is: on a terminal one line that is updated in place, elsewhere a line at the start and the end
// of each stage and one every 30 s.

const TERMINAL_MS = 500;
const ELSEWHERE_MS = 30_000;
const ERASE_LINE = "\r\u001B[2K";
const NAME_WIDTH = 8;

interface Screen {
  write: (text: string) => void;
  isTerminal: boolean;
  columns: () => number;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
}

const STDOUT: Screen = {
  write: (text) => void process.stdout.write(text),
  isTerminal: process.stdout.isTTY,
  columns: () => process.stdout.columns || 80,
  now: () => performance.now(),
};

export class Progress {
  #screen;
  /** What runs now: its name, its start, what it shows. */
  #running = new Map<string, { startedAt: number; state: () => string }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(screen: Screen = STDOUT) {
    this.#screen = screen;
  }

  /** @param state asked whenever a line is printed */
  start(name: string, state: () => string) {
    this.#running.set(name, { startedAt: this.#screen.now(), state });
    if (!this.#screen.isTerminal) this.print(`${name.padEnd(NAME_WIDTH)} started`);
    this.#timer ??= setInterval(() => this.show(), this.#screen.isTerminal ? TERMINAL_MS : ELSEWHERE_MS);
  }

  finish(name: string, line: (seconds: string) => string) {
    const startedAt = this.#running.get(name)?.startedAt ?? this.#screen.now();
    this.#running.delete(name);
    this.print(line(seconds(this.#screen.now() - startedAt)));
    if (this.#running.size > 0) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** A line that stays. */
  print(line: string) {
    this.#screen.write(`${this.#screen.isTerminal ? ERASE_LINE : ""}${line}\n`);
    if (this.#screen.isTerminal) this.show();
  }

  /** Shows everything that runs now. */
  show() {
    const { write, isTerminal, columns, now } = this.#screen;
    const lines = [...this.#running].map(([name, { startedAt, state }]) => {
      return `${name.padEnd(NAME_WIDTH)} ${state()}, ${seconds(now() - startedAt)} s`;
    });
    if (lines.length === 0) return;
    if (isTerminal) write(`${ERASE_LINE}${lines.join("   ").slice(0, columns() - 1)}`);
    else for (const line of lines) write(`${line}\n`);
  }
}

function seconds(ms: number) {
  return (ms / 1000).toFixed(0);
}
