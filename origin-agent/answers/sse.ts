// Cuts a server-sent event stream into whole events. A chunk is no event: one can hold several, or half of
// one, or half a character; only bytes up to a blank line may be looked at or passed on.

const END = Buffer.from("\n\n");

/** Holds back the half event at the end of what has arrived. */
export class WholeEvents {
  readonly #maxBytes: number;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param maxBytes the longest event there may be; a longer one is a fault of the server's. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes what arrived.
   * @returns every event that is whole now, as one run of bytes; empty where none is; `"too-long"` once an
   * event outgrows the bound, after which nothing more may be given.
   */
  push(chunk: Buffer): Buffer | "too-long" {
    // Nearly every chunk of llama-server's is whole: no copy then, and one look at its last two bytes.
    if (this.#heldBytes === 0 && chunk.at(-1) === 0x0a && chunk.at(-2) === 0x0a) return chunk;
    return this.#join(chunk);
  }

  /** Whether half an event is waiting for its rest. */
  get partial(): boolean {
    return this.#heldBytes > 0;
  }

  #join(chunk: Buffer): Buffer | "too-long" {
    // The blank line can itself be cut: its first half stands at the end of what is held.
    const cut = this.#endOfLastEvent(chunk);
    if (cut === 0) {
      this.#hold(chunk);
      return this.#heldBytes > this.#maxBytes ? "too-long" : Buffer.alloc(0);
    }
    const whole = Buffer.concat([...this.#held, chunk.subarray(0, cut)]);
    this.#held = [];
    this.#heldBytes = 0;
    this.#hold(chunk.subarray(cut));
    return this.#heldBytes > this.#maxBytes ? "too-long" : whole;
  }

  #endOfLastEvent(chunk: Buffer): number {
    const inside = chunk.lastIndexOf(END);
    if (inside >= 0) return inside + END.length;
    return chunk[0] === 0x0a && this.#held.at(-1)?.at(-1) === 0x0a ? 1 : 0;
  }

  #hold(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#held.push(rest);
    this.#heldBytes += rest.length;
  }
}

/** The `data` of each event in a run of whole events, comments and other fields left out. */
export function eventData(whole: Buffer): string[] {
  const found: string[] = [];
  for (const event of whole.toString("utf8").split("\n\n")) {
    if (event.startsWith("data: ") && !event.includes("\n")) {
      found.push(event.slice(6));
      continue;
    }
    const lines = event.split("\n").filter((line) => line.startsWith("data:"));
    if (lines.length > 0) found.push(lines.map((line) => line.slice(line[5] === " " ? 6 : 5)).join("\n"));
  }
  return found;
}
