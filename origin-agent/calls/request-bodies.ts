// Request bodies the agent holds while their calls may be sent again: bounded over all calls, so that a
// flood of large prompts costs refusals, not the machine's memory.
import type { IncomingMessage } from "node:http";

export interface RetainedBody {
  readonly bytes: Buffer;
  /** Gives its memory back; a second time does nothing. */
  release(): void;
}

/** Why a body isn't held: too long by itself, no room beside the others, or broken off on its way. */
export type NotRetained = "too-large" | "no-room" | "broken";

export class RetainedBodies {
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param maxBytes for all bodies held at one time. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Reads a body whole. One that is refused is still read to its end, into nothing: its connection can then
   * carry the answer, and the next request.
   * @param maxBodyBytes the longest one there may be.
   * @param signal gives up on a body that doesn't come.
   */
  read(
    request: IncomingMessage,
    maxBodyBytes: number,
    signal?: AbortSignal,
  ): Promise<RetainedBody | NotRetained> {
    const chunks: Buffer[] = [];
    let length = 0;
    let refused: NotRetained | null = null;
    const release = (): void => {
      this.#bytes -= length;
      length = 0;
    };
    return new Promise((resolve) => {
      const refuse = (why: NotRetained): void => {
        if (refused !== null) return;
        refused = why;
        release();
        chunks.length = 0;
        resolve(why);
      };
      request.on("data", (chunk: Buffer) => {
        if (refused !== null) return;
        if (length + chunk.length > maxBodyBytes) return refuse("too-large");
        if (this.#bytes + chunk.length > this.#maxBytes) return refuse("no-room");
        length += chunk.length;
        this.#bytes += chunk.length;
        chunks.push(chunk);
      });
      request.once("end", () => {
        if (refused !== null) return;
        refused = "broken"; // Nothing that comes later takes it back from its owner.
        const [only] = chunks;
        resolve({ bytes: chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks), release });
      });
      signal?.addEventListener("abort", () => refuse("broken"), { once: true });
      request.once("error", () => refuse("broken"));
      request.once("close", () => {
        if (!request.readableEnded) refuse("broken");
      });
    });
  }
}
