// Reads server-sent events from chunks of bytes, which may cut a character or an event anywhere.

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** Maximum characters of an event; a fleet of ten boxes has some 40,000. */
const MAX_EVENT_LENGTH = 4 * 1024 * 1024;

/** Takes chunks and returns the events that they complete. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @throws Error if an event is too long. */
  push(chunk: Uint8Array): StreamEvent[] {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    // A carriage return at the end may be half of a line break.
    const carriageReturn = this.#rest.endsWith("\r") ? "\r" : "";
    const blocks = this.#rest
      .slice(0, this.#rest.length - carriageReturn.length)
      .replaceAll(/\r\n?/g, "\n")
      .split("\n\n");
    this.#rest = (blocks.pop() ?? "") + carriageReturn;
    if (this.#rest.length > MAX_EVENT_LENGTH) throw new Error("an event of the stream is too long");
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
