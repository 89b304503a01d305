// The text of an answer as its events spell it, JSON's escapes and all, in blocks of bytes: a string for each
// token would take a stream several times its text, and a thousand are open at once.

/** Bytes of a block: some hundred tokens. Never moved, so that growing leaves nothing behind to be collected. */
const BLOCK_BYTES = 1024;

/** Up to so many bytes, what nearly every token has, are moved one by one: a call out of JavaScript costs more. */
const FEW_BYTES = 48;

export class KeptText {
  readonly #blocks: Buffer[] = [];
  /** Of the last block, bytes. */
  #free = 0;

  /** Takes what stands in `from` between two places: the inside of a JSON string. */
  push(from: Buffer, start: number, end: number): void {
    for (let at = start; at < end;) {
      const block = this.#lastBlock();
      const place = BLOCK_BYTES - this.#free;
      const taken = Math.min(end - at, this.#free);
      if (taken > FEW_BYTES) from.copy(block, place, at, at + taken);
      else for (let byte = 0; byte < taken; byte += 1) block[place + byte] = from[at + byte] ?? 0;
      this.#free -= taken;
      at += taken;
    }
  }

  /** Joined and unescaped only when asked for. */
  text(): string {
    const escaped = Buffer.concat(this.#blocks, this.#blocks.length * BLOCK_BYTES - this.#free);
    return JSON.parse(`"${escaped.toString("utf8")}"`) as string;
  }

  /** One with room in it. */
  #lastBlock(): Buffer {
    const last = this.#blocks.at(-1);
    if (last !== undefined && this.#free > 0) return last;
    // Not out of Node's pool: a piece of that would hold on to its other pieces for as long as the stream lasts.
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#blocks.push(block);
    this.#free = BLOCK_BYTES;
    return block;
  }
}
