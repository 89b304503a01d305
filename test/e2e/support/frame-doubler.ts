// One direction of a WebSocket connection, after its HTTP head: lets all bytes through, and says some whole text
// frames twice.

/** A text frame that is a whole message. */
const WHOLE_TEXT = 0x81;

/** Bytes of a frame before its payload are known from its first two and these many after them. */
const LENGTH_BYTES: Readonly<Record<number, number>> = { 126: 2, 127: 8 };

export class FrameDoubler {
  readonly #isDoubled: () => boolean;
  /** The HTTP head has passed. */
  #isPastHead = false;
  #kept = Buffer.alloc(0);

  constructor(isDoubled: () => boolean) {
    this.#isDoubled = isDoubled;
  }

  /** What is to be sent on for these bytes; the rest of a frame that isn't whole yet is kept back. */
  pass(bytes: Buffer): Buffer {
    this.#kept = Buffer.concat([this.#kept, bytes]);
    const out: Buffer[] = [];
    if (!this.#isPastHead) {
      const end = this.#kept.indexOf("\r\n\r\n");
      if (end < 0) return this.#take(this.#kept.length);
      this.#isPastHead = true;
      out.push(this.#take(end + 4));
    }
    for (let length = frameLength(this.#kept); length !== null; length = frameLength(this.#kept)) {
      const frame = this.#take(length);
      out.push(frame);
      if (frame[0] === WHOLE_TEXT && this.#isDoubled()) out.push(frame);
    }
    return Buffer.concat(out);
  }

  #take(length: number): Buffer {
    const taken = this.#kept.subarray(0, length);
    this.#kept = this.#kept.subarray(length);
    return taken;
  }
}

/** Of the frame that begins here, its masking key included; null if it is incomplete. */
function frameLength(bytes: Buffer): number | null {
  if (bytes.length < 2) return null;
  const second = bytes.readUInt8(1);
  const said = second & 0x7f;
  const more = LENGTH_BYTES[said] ?? 0;
  const header = 2 + more + (second >= 0x80 ? 4 : 0);
  if (bytes.length < header) return null;
  const payload = more === 2 ? bytes.readUInt16BE(2) : more === 8 ? Number(bytes.readBigUInt64BE(2)) : said;
  return bytes.length < header + payload ? null : header + payload;
}
