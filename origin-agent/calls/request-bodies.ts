// Keeps request bodies in memory while their calls may be sent again. The total is bounded, so a flood of large
// prompts leads to refusals and doesn't exhaust the machine's memory.
import type { IncomingMessage } from "node:http";
import type { EndSignal } from "../servers/end-signal.ts";

export interface RetainedBody {
  readonly bytes: Buffer;
  /** Frees the memory; further calls do nothing. */
  release(): void;
}

/** Why a body isn't kept: it is too large, there is no room alongside the others, or the upload broke off. */
export type NotRetained = "too-large" | "no-room" | "broken";

export class RetainedBodies {
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param maxBytes limit for all bodies together. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes in use now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Reads a complete body. A refused body is read to its end and discarded: the connection can then be used for the
   * answer and for the next request.
   * @param maxBodyBytes limit for one body.
   * @param signal stops waiting for a body that doesn't arrive.
   */
  read(
    request: IncomingMessage,
    maxBodyBytes: number,
    signal?: EndSignal,
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
      request.on("end", () => {
        if (refused !== null) return;
        refused = "broken"; // Later events must not release a body that the caller owns.
        const [only] = chunks;
        resolve({ bytes: chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks), release });
      });
      signal?.addEventListener("abort", () => refuse("broken"), { once: true });
      request.on("error", () => refuse("broken"));
      request.on("close", () => {
        if (!request.readableEnded) refuse("broken");
      });
    });
  }
}
