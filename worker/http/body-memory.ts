// Bounds the memory that an isolate has for request bodies: large ones that arrive slowly must not end it for all callers.
// Pure, the clock is passed in.
import { BODY_TIMEOUT_MS, BOX_HEADERS_WAIT_MS } from "../../shared/limits.ts";

/** A body that is held for longer belongs to a request that the platform cancelled without running its last steps. */
const LOST_MS = BODY_TIMEOUT_MS + BOX_HEADERS_WAIT_MS;

/** The memory of one request's body. */
export interface BodyHold {
  /** @returns false if there is no room for these further bytes */
  readonly grow: (bytes: number) => boolean;
  readonly release: () => void;
}

export class BodyMemory {
  readonly #maxBytes: number;
  readonly #clock: () => number;
  /** By hold, in the order of their start. */
  readonly #held = new Map<BodyHold, { readonly since: number; bytes: number }>();
  #bytes = 0;

  constructor(maxBytes: number, clock: () => number) {
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  hold(): BodyHold {
    const own = { since: this.#clock(), bytes: 0 };
    const hold: BodyHold = {
      grow: (bytes) => {
        if (this.#bytes + bytes > this.#maxBytes) this.#releaseLost();
        if (this.#bytes + bytes > this.#maxBytes) return false;
        this.#held.set(hold, own);
        own.bytes += bytes;
        this.#bytes += bytes;
        return true;
      },
      release: () => {
        if (this.#held.delete(hold)) this.#bytes -= own.bytes;
      },
    };
    return hold;
  }

  #releaseLost(): void {
    const now = this.#clock();
    for (const [hold, { since }] of this.#held) if (Math.abs(now - since) >= LOST_MS) hold.release();
  }
}
