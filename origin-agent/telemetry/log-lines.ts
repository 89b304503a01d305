// Where log lines go: together, a few times a second, since one write a line would cost a call as much as all
// else that is done for it. Through `process.stdout`, which under PM2 leads to the agent's own log file.

/** Lines that wait are written once they are this long, characters. */
const MAX_WAITING = 8 * 1024;

/** And in any case after this, milliseconds. A kill -9 loses so much of the log, and nothing of the journal. */
const FLUSH_MS = 250;

export class LogLines {
  #waiting = "";
  #timer: NodeJS.Timeout | null = null;

  constructor() {
    process.on("exit", () => this.flush());
    // Whoever read the log is gone, or its disk is full: calls go on being served.
    process.stdout.on("error", () => undefined);
  }

  /** A whole line, its line break included: what pino writes. */
  write(line: string): void {
    this.#waiting += line;
    if (this.#waiting.length >= MAX_WAITING) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#waiting === "") return;
    const lines = this.#waiting;
    this.#waiting = "";
    process.stdout.write(lines);
  }
}
