// Server-sent events out of chunks of bytes: a character or an event may be cut anywhere between two chunks.

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** Longest event that is waited for, characters: a fleet of ten boxes is some 40,000. */
const MAX_EVENT_LENGTH = 4 * 1024 * 1024;

/** Takes chunks as they come and gives the events they complete. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @throws Error where an event has no end. */
  push(chunk: Uint8Array): StreamEvent[] {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    // A carriage return at the very end may be half of a line's end.
    const held = this.#rest.endsWith("\r") ? "\r" : "";
    const blocks = this.#rest
      .slice(0, this.#rest.length - held.length)
      .replaceAll(/\r\n?/g, "\n")
      .split("\n\n");
    this.#rest = (blocks.pop() ?? "") + held;
    if (this.#rest.length > MAX_EVENT_LENGTH) throw new Error("an event of the stream has no end");
    return blocks.flatMap(eventOf);
  }
}

function eventOf(block: string): StreamEvent[] {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0 || line === "") continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return data.length === 0 ? [] : [{ event, data: data.join("\n") }];
}
