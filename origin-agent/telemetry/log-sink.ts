// Writes lines to a file descriptor without blocking: lines that can't be written in time are dropped and counted. A
// full pipe must not stop the server whose log this is.
import { write } from "node:fs";

/** Limit of the lines waiting to be written: several seconds of a busy server's log. */
const MAX_WAITING_BYTES = 256 * 1024;

/** How long to wait before writing again to a descriptor that is full. */
const RETRY_MS = 50;

export class LogSink {
  readonly #fd: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #busy = false;
  #broken = false;
  #whenIdle: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(lines: readonly string[]): void {
    if (this.#broken) return;
    for (const line of lines) {
      if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
        this.#dropped += 1;
        continue;
      }
      this.#waiting.push(line);
      this.#waitingBytes += line.length;
    }
    this.#writeNext();
  }

  /** Resolves when everything has been written, or the reader is gone. */
  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #writeNext(): void {
    if (this.#busy) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    const lost = dropped === 0 ? "" : `(… ${dropped} lines dropped: the log was not read fast enough)\n`;
    const text = this.#waiting.join("") + lost;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (text === "") {
      for (const resolve of this.#whenIdle.splice(0)) resolve();
      return;
    }
    this.#busy = true;
    this.#put(Buffer.from(text));
  }

  #put(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#put(bytes), RETRY_MS);
        return;
      }
      if (error === null && written < bytes.length) {
        this.#put(bytes.subarray(written));
        return;
      }
      if (error !== null) this.#broken = true;
      this.#busy = false;
      this.#writeNext();
    });
  }
}
