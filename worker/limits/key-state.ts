// State of one key and secret in this isolate: its lease, and the key as its object last reported it. Pure, the clock
// is passed in.
import type { KeyRecord } from "../../shared/principal.ts";
import { Lease } from "./lease.ts";

export interface KeySnapshot {
  readonly record: KeyRecord;
  /** The month's tokens are used up. */
  readonly quotaSpent: boolean;
}

export class KeyState {
  readonly lease = new Lease();
  #snapshot: KeySnapshot | null = null;
  #snapshotAt = -Infinity;

  /** Null before the first answer. */
  get snapshot(): KeySnapshot | null {
    return this.#snapshot;
  }

  /** @param sentAt when the lease request was sent whose answer this is */
  note(snapshot: KeySnapshot, sentAt: number): void {
    if (sentAt < this.#snapshotAt) return;
    this.#snapshot = snapshot;
    this.#snapshotAt = sentAt;
  }

  isNewerThan(ms: number, now: number): boolean {
    return now < this.#snapshotAt + ms;
  }
}
