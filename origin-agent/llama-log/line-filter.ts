// Converts llama-server's output bytes to the lines that a log may contain: known lines, our text for known failures,
// and the number of all other lines. It writes nothing itself and has no clock.
import type { LineClassifier } from "./known-lines.ts";

/** Longest line that is read, in bytes; the longest known one has 200. Of a longer line only the beginning is read. */
const MAX_LINE_BYTES = 512;

/** The number of withheld lines is logged at most this often. A busy server prints dozens per second. */
const COUNT_INTERVAL_MS = 10_000;

const NEWLINE = 0x0a;

export class LineFilter {
  readonly #classify: LineClassifier;
  /** The beginning of an incomplete line. */
  #line: Buffer = Buffer.alloc(0);
  #tooLong = false;
  #withheld = 0;
  #countedAt = -Infinity;

  constructor(classify: LineClassifier) {
    this.#classify = classify;
  }

  /** Takes output and returns the lines to log, each with its line break. */
  push(chunk: Buffer, now: number): string[] {
    const out: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#append(chunk.subarray(start, end));
      out.push(...this.#finishLine(now));
      start = end + 1;
    }
    this.#append(chunk.subarray(start));
    return out;
  }

  /** The line with the number of withheld lines, if it is due; called every second. */
  count(now: number): string[] {
    if (this.#withheld === 0 || now - this.#countedAt < COUNT_INTERVAL_MS) return [];
    return this.#countLine(now);
  }

  /** The output has ended: returns the last line and the number of withheld lines. */
  end(now: number): string[] {
    const last = this.#line.length > 0 ? this.#finishLine(now) : [];
    return [...last, ...(this.#withheld > 0 ? this.#countLine(now) : [])];
  }

  #append(bytes: Buffer): void {
    const free = MAX_LINE_BYTES - this.#line.length;
    if (bytes.length > free) this.#tooLong = true;
    if (free > 0 && bytes.length > 0) this.#line = Buffer.concat([this.#line, bytes.subarray(0, free)]);
  }

  #finishLine(now: number): string[] {
    // One byte, one character: a line with non-ASCII bytes is withheld, whether they are valid UTF-8 or not.
    const line = this.#line.toString("latin1").replace(/\r$/, "");
    const result = this.#classify(line, !this.#tooLong);
    this.#line = Buffer.alloc(0);
    this.#tooLong = false;
    switch (result.kind) {
      case "harmless":
        // A count that is due comes first, in place of the withheld lines.
        return line === "" ? [] : [...this.count(now), `${line}\n`];
      case "failure":
        return [...this.count(now), `${result.stamp}${result.text} (its text is withheld)\n`];
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
