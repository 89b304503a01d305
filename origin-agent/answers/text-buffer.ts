// Buffers the text of an answer in blocks of bytes, with its JSON escapes. One string per token would need several times
// the memory of the text, and a thousand streams can be open at once.

/** One block: about a hundred tokens. Blocks are never moved, so growing leaves no garbage. */
const BLOCK_BYTES = 1024;

/** Up to this size, which covers nearly every token, bytes are copied in a loop: a native call would cost more. */
const FEW_BYTES = 48;

export class TextBuffer {
  readonly #blocks: Buffer[] = [];
  /** Free bytes in the last block. */
  #free = 0;

  /** Appends the bytes of `from` between two offsets: the inside of a JSON string. */
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

  /** Joins and unescapes the text. */
  text(): string {
    const escaped = Buffer.concat(this.#blocks, this.#blocks.length * BLOCK_BYTES - this.#free);
    return JSON.parse(`"${escaped.toString("utf8")}"`) as string;
  }

  /** A block with free space. */
  #lastBlock(): Buffer {
    const last = this.#blocks.at(-1);
    if (last !== undefined && this.#free > 0) return last;
    // Not from Node's pool: a slice would keep the whole pool alive for as long as the stream lasts.
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#blocks.push(block);
    this.#free = BLOCK_BYTES;
    return block;
  }
}
