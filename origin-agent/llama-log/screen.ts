// From the bytes that a llama-server prints to what of them a log may hold: known lines, our words for known
// failures, and for all the rest how many lines there were. It prints nothing itself and knows no clock.
import type { Screened } from "./known-lines.ts";

/** Longest line looked at, bytes; the longest known one has 200. Of a longer one only its beginning is read. */
const MAX_LINE_BYTES = 512;

/** How often withheld lines may be counted in the log, milliseconds. */
const COUNT_EVERY_MS = 1_000;

const NEWLINE = 0x0a;

export class LogScreen {
  readonly #judge: (line: string, whole: boolean) => Screened;
  /** The beginning of a line that isn't over yet. */
  #line: Buffer = Buffer.alloc(0);
  #tooLong = false;
  #withheld = 0;
  #countedAt = -Infinity;

  constructor(judge: (line: string, whole: boolean) => Screened) {
    this.#judge = judge;
  }

  /** Takes what came and gives the lines that may be written, each with its line break. */
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

  /** The count of withheld lines, where one is due; to be asked every second. */
  count(now: number): string[] {
    if (this.#withheld === 0 || now - this.#countedAt < COUNT_EVERY_MS) return [];
    return this.#tellCount(now);
  }

  /** The server's output is over: its last line, and the count. */
  end(now: number): string[] {
    const last = this.#line.length > 0 ? this.#finishLine(now) : [];
    return [...last, ...(this.#withheld > 0 ? this.#tellCount(now) : [])];
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
        // A count that is due goes first, so that it stands where the lines were.
        return line === "" ? [] : [...this.count(now), `${line}\n`];
      case "failure":
        return [...this.count(now), `${screened.stamp}${screened.words} (its text is withheld)\n`];
      case "withheld":
        if (line !== "") this.#withheld += 1;
        return [];
    }
  }

  #tellCount(now: number): string[] {
    const lines = this.#withheld;
    this.#withheld = 0;
    this.#countedAt = now;
    return [`(… ${lines} ${lines === 1 ? "line" : "lines"} withheld)\n`];
  }
}
