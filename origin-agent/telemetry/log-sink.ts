// Writes lines to a file descriptor without ever waiting for it: what can't be written in time is dropped and
// counted. Behind a full pipe stands a server that must go on.
import { write } from "node:fs";

/** Lines waiting to be written, bytes: seconds of a busy server's log. */
const MAX_WAITING_BYTES = 256 * 1024;

/** A descriptor that takes nothing for now is asked again after this. */
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
    this.#writeOn();
  }

  /** Resolves once everything has been written, or nobody reads any more. */
  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #writeOn(): void {
    if (this.#busy) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    const lost = dropped === 0 ? "" : `(… ${dropped} lines dropped: the log wasn't read fast enough)\n`;
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
      this.#writeOn();
    });
  }
}
