// Writes log lines in batches, a few times a second: one write per line would cost as much as the rest of a call. Uses
// `process.stdout`, which PM2 redirects to the agent's log file.

/** Buffered lines are written when they reach this length, in characters. */
const MAX_BUFFERED = 8 * 1024;

/** And at the latest after this. A kill -9 loses this much of the log, and nothing of the journal. */
const FLUSH_MS = 250;

export class LogLines {
  #buffered = "";
  #timer: NodeJS.Timeout | null = null;

  constructor() {
    process.on("exit", () => this.flush());
    // If the log's reader is gone or the disk is full, calls are still served.
    process.stdout.on("error", () => undefined);
  }

  /** Called by pino. @param line one line with its line break. */
  write(line: string): void {
    this.#buffered += line;
    if (this.#buffered.length >= MAX_BUFFERED) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#buffered === "") return;
    const lines = this.#buffered;
    this.#buffered = "";
    process.stdout.write(lines);
  }
}
