// Turns a llama-server's output into the lines that a log may contain: known lines, our own text for known failures, and
// a count of all other lines. It prints nothing itself; the clock is passed in.
import type { Screened } from "./known-lines.ts";

/** Longest line that is read, in bytes; the longest known one has 200. Only the beginning of a longer line is read. */
const MAX_LINE_BYTES = 512;

/** Least time between two counts of withheld lines in the log. */
const COUNT_EVERY_MS = 1_000;

const NEWLINE = 0x0a;

export class LogScreen {
  readonly #judge: (line: string, whole: boolean) => Screened;
  /** The beginning of an unfinished line. */
  #line: Buffer = Buffer.alloc(0);
  #tooLong = false;
  #withheld = 0;
  #countedAt = -Infinity;

  constructor(judge: (line: string, whole: boolean) => Screened) {
    this.#judge = judge;
  }

  /** Adds output and returns the lines that may be written, each with its line break. */
  push(chunk: Buffer, now: number): string[] {
    const out: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      out.push(...this.#finishLine(now));
      from = end + 1;
    }
    this.#keep(chunk.subarray(from));
    return out;
  }

  /** The count of withheld lines, if one is due; called every second. */
  count(now: number): string[] {
    if (this.#withheld === 0 || now - this.#countedAt < COUNT_EVERY_MS) return [];
    return this.#countLine(now);
  }

  /** Ends the output: returns its last line and the count. */
  end(now: number): string[] {
    const last = this.#line.length > 0 ? this.#finishLine(now) : [];
    return [...last, ...(this.#withheld > 0 ? this.#countLine(now) : [])];
  }

  #keep(bytes: Buffer): void {
    const room = MAX_LINE_BYTES - this.#line.length;
    if (bytes.length > room) this.#tooLong = true;
    if (room > 0 && bytes.length > 0) this.#line = Buffer.concat([this.#line, bytes.subarray(0, room)]);
  }

  #finishLine(now: number): string[] {
    // One byte, one character: what isn't ASCII fits no shape, whether it is valid UTF-8 or not.
    const line = this.#line.toString("latin1").replace(/\r$/, "");
    const screened = this.#judge(line, !this.#tooLong);
    this.#line = Buffer.alloc(0);
    this.#tooLong = false;
    switch (screened.kind) {
      case "harmless":
        // A due count goes first, so that it takes the place of the withheld lines.
        return line === "" ? [] : [...this.count(now), `${line}\n`];
      case "failure":
        return [...this.count(now), `${screened.stamp}${screened.text} (its text is withheld)\n`];
      case "withheld":
        if (line !== "") this.#withheld += 1;
        return [];
    }
  }

  #countLine(now: number): string[] {
    const lines = this.#withheld;
    this.#withheld = 0;
    this.#countedAt = now;
    return [`(… ${lines} ${lines === 1 ? "line" : "lines"} withheld)\n`];
  }
}
