// Books one call in the journal: its start before a server first gets it, and its end. A call that no server got isn't
// booked.
import type { CallReport } from "./report.ts";

/** Books a call's end, once; null: no server got it. */
export type BookEnd = (report: CallReport | null, ms: number) => void;

/** Books a call's start at a port; `onStored` is called once that is durable, or if the disk fails. */
export type BookStart = (port: number, onStored: () => void) => BookEnd;

export class Booking {
  readonly #bookStart: BookStart;
  #bookEnd: BookEnd | null = null;
  #isSent = false;

  constructor(bookStart: BookStart) {
    this.#bookStart = bookStart;
  }

  /** Books the start; called before each try. @returns when the request may be sent; null for at once */
  start(port: number): Promise<void> | null {
    if (this.#bookEnd !== null) return null;
    return new Promise((resolve) => {
      this.#bookEnd = this.#bookStart(port, resolve);
    });
  }

  /** Marks that a server gets the call: from then on it may have used the GPU. */
  sent(): void {
    this.#isSent = true;
  }

  end(report: CallReport, ms: number): void {
    this.#bookEnd?.(this.#isSent ? report : null, ms);
  }
}
