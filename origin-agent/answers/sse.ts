// Splits a server-sent event stream into complete events. A chunk can contain several events, part of one, or part of a
// character; only bytes up to a blank line may be read or passed on.

const END = Buffer.from("\n\n");

/** Passes on complete events and buffers the partial event at the end. */
export class EventSplitter {
  readonly #maxBytes: number;
  #partial: Buffer[] = [];
  #partialBytes = 0;

  /** @param maxBytes the longest valid event; a longer one is the server's fault. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Adds a chunk.
   * @returns all events that are complete now, as one buffer, which may be empty; `"too-long"` if an event exceeds the
   * limit, after which nothing more may be pushed.
   */
  push(chunk: Buffer): Buffer | "too-long" {
    // Nearly every chunk from llama-server ends with a complete event: then nothing is copied.
    if (this.#partialBytes === 0 && chunk.at(-1) === 0x0a && chunk.at(-2) === 0x0a) return chunk;
    return this.#join(chunk);
  }

  /** Whether the start of an incomplete event is buffered. */
  get partial(): boolean {
    return this.#partialBytes > 0;
  }

  #join(chunk: Buffer): Buffer | "too-long" {
    // The blank line itself can be split: its first half is then at the end of the buffer.
    const cut = this.#endOfLastEvent(chunk);
    if (cut === 0) {
      this.#keep(chunk);
      return this.#partialBytes > this.#maxBytes ? "too-long" : Buffer.alloc(0);
    }
    const events = Buffer.concat([...this.#partial, chunk.subarray(0, cut)]);
    this.#partial = [];
    this.#partialBytes = 0;
    this.#keep(chunk.subarray(cut));
    return this.#partialBytes > this.#maxBytes ? "too-long" : events;
  }

  #endOfLastEvent(chunk: Buffer): number {
    const inside = chunk.lastIndexOf(END);
    if (inside >= 0) return inside + END.length;
    return chunk[0] === 0x0a && this.#partial.at(-1)?.at(-1) === 0x0a ? 1 : 0;
  }

  #keep(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#partial.push(rest);
    this.#partialBytes += rest.length;
  }
}

const NEWLINE = 0x0a;

export function startsWith(bytes: Buffer, start: Buffer): boolean {
  return bytes.length >= start.length && bytes.compare(start, 0, start.length, 0, start.length) === 0;
}

/** Whether a line begins with these bytes. Answer text can't match: JSON escapes its line breaks. */
export function beginsLine(events: Buffer, start: Buffer): boolean {
  for (let at = events.indexOf(start); at >= 0; at = events.indexOf(start, at + 1)) {
    if (at === 0 || events[at - 1] === NEWLINE) return true;
  }
  return false;
}

/** Returns the `data` of each event, without comments and other fields. */
export function eventData(events: Buffer): string[] {
  const found: string[] = [];
  for (const event of events.toString("utf8").split("\n\n")) {
    if (event.startsWith("data: ") && !event.includes("\n")) {
      found.push(event.slice(6));
      continue;
    }
    const lines = event.split("\n").filter((line) => line.startsWith("data:"));
    if (lines.length > 0) found.push(lines.map((line) => line.slice(line[5] === " " ? 6 : 5)).join("\n"));
  }
  return found;
}
