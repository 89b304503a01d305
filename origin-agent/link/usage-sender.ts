// Decides which usage is sent over the link and when: one batch in flight, in the journal's order, sent again until it
// is acknowledged (design.md, 6). Pure: the clock is passed in, and the caller performs the actions. Nothing is lost
// with a link: until the acknowledgement the calls stay in the journal, and the ledger books each of them once.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { MAX_BATCH_CALLS, type UsageFrame } from "../../shared/wire.ts";
import type { UsageBatch } from "../usage/journal.ts";

/** A batch without an acknowledgement for this time is sent again: the ledger books in well under a second. */
export const ACK_TIMEOUT_MS = 10_000;

/**
 * While calls end, the journal is read this often. A call can be read half a second after it was written, so each is
 * sent within a second, and all calls that end within this time share a frame.
 */
export const READ_INTERVAL_MS = 400;

/** A recorded call can be read from the journal after this time at the latest; it includes a sync of the disk. */
const READABLE_AFTER_MS = 1_500;

/** While no call ends, the journal is read this often: it may have adopted the calls of another process. */
export const IDLE_READ_INTERVAL_MS = 5_000;

/** Epochs whose acknowledged seq is remembered. An older epoch starts again from 0, which is harmless. */
const MAX_EPOCHS = 64;

export type UsageAction =
  /** Read the journal's next calls; pass the result to `batchRead`. */
  | { readonly kind: "read-journal" }
  | { readonly kind: "send-usage"; readonly frame: UsageFrame }
  /** Acknowledge the calls in the journal; call `journalAcknowledged` once that is done. */
  | { readonly kind: "acknowledge"; readonly epoch: string; readonly seq: number }
  /** The ledger has fewer calls of an epoch than it acknowledged earlier: it was restored to an earlier state. */
  | { readonly kind: "ledger-behind"; readonly epoch: string; readonly calls: number };

interface InFlight {
  readonly batch: UsageBatch;
  readonly lastSeq: number;
  sentAt: number;
}

export class UsageSender {
  /** The seq that the edge acknowledged last, by epoch. */
  readonly #ackedSeqs = new BoundedMap<string, number>(MAX_EPOCHS);
  #connected = false;
  #inFlight: InFlight | null = null;
  #pending: "read" | "acknowledge" | null = null;
  #nextReadAt = -Infinity;
  /** Time of the last recorded call that the journal may not have returned yet. */
  #recordedAt: number | null = null;
  #oldestPendingAt: number | null = null;
  /** The journal probably holds more than the batch that was acknowledged last. */
  #hasMore = false;
  /** Null: not finishing. `stale-read`: the pending read started before the end, so one more is needed. */
  #finishing: "stale-read" | "reading" | "done" | null = null;

  /** When the oldest call ended that isn't acknowledged yet, by the caller's clock; null if all are. */
  get oldestPendingAt(): number | null {
    return this.#oldestPendingAt;
  }

  /** Everything that the journal held at `finish` is acknowledged. */
  get finished(): boolean {
    return this.#finishing === "done";
  }

  /** The link is open and the hello was sent. */
  connected(now: number): readonly UsageAction[] {
    this.#connected = true;
    this.#nextReadAt = now;
    return this.tick(now);
  }

  /** The link is gone; the batch in flight is sent again over the next one. */
  disconnected(): void {
    this.#connected = false;
    this.#inFlight = null;
  }

  /** A call has ended and is in the journal. */
  callRecorded(now: number): void {
    this.#recordedAt = now;
    this.#nextReadAt = Math.min(this.#nextReadAt, now + READ_INTERVAL_MS);
  }

  /** No more calls will end: sends what the journal holds, and is `finished` after that. */
  finish(now: number): readonly UsageAction[] {
    this.#finishing = this.#pending === "read" ? "stale-read" : "reading";
    this.#nextReadAt = now;
    return this.tick(now);
  }

  nextAt(): number {
    if (!this.#connected || this.finished) return Infinity;
    if (this.#inFlight !== null) return this.#inFlight.sentAt + ACK_TIMEOUT_MS;
    return this.#pending === null ? this.#nextReadAt : Infinity;
  }

  tick(now: number): readonly UsageAction[] {
    if (now < this.nextAt()) return [];
    if (this.#inFlight !== null) return this.#send(this.#inFlight, now);
    this.#pending = "read";
    return [{ kind: "read-journal" }];
  }

  /**
   * Takes the journal's next batch.
   * @param oldestAgeMs time since the first of its calls ended
   */
  batchRead(batch: UsageBatch | null, oldestAgeMs: number, now: number): readonly UsageAction[] {
    this.#pending = null;
    if (this.#finishing === "stale-read") {
      this.#finishing = "reading";
      this.#nextReadAt = now;
    } else if (batch === null && this.#finishing === "reading") this.#finishing = "done";
    const lastSeq = batch?.calls.at(-1)?.seq;
    if (batch === null || lastSeq === undefined) {
      this.#oldestPendingAt = null;
      if (this.#recordedAt !== null && now - this.#recordedAt > READABLE_AFTER_MS) this.#recordedAt = null;
      if (this.#finishing === null)
        this.#nextReadAt = now + (this.#recordedAt === null ? IDLE_READ_INTERVAL_MS : READ_INTERVAL_MS);
      return this.tick(now);
    }
    this.#oldestPendingAt = now - oldestAgeMs;
    if (!this.#connected) return [];
    this.#inFlight = { batch, lastSeq, sentAt: now };
    return this.#send(this.#inFlight, now);
  }

  /** The edge has every call of the epoch up to this seq. */
  edgeAcknowledged(epoch: string, lastSeq: number, now: number): readonly UsageAction[] {
    const inFlight = this.#inFlight;
    // A duplicate, or about a batch of an earlier link.
    if (inFlight === null || inFlight.batch.epoch !== epoch) return [];
    const ackedSeq = this.#ackedSeq(epoch);
    // A duplicate for the previous batch, or a refusal that changes nothing; the batch is sent again after the timeout.
    if (lastSeq === ackedSeq) return [];
    if (lastSeq < ackedSeq) {
      this.#ackedSeqs.set(epoch, lastSeq);
      return [{ kind: "ledger-behind", epoch, calls: ackedSeq - lastSeq }, ...this.#send(inFlight, now)];
    }
    // Never beyond the last call that was sent: the journal must not delete a call that the edge can't have.
    const accepted = Math.min(lastSeq, inFlight.lastSeq);
    this.#ackedSeqs.set(epoch, accepted);
    this.#hasMore = accepted < inFlight.lastSeq || inFlight.batch.calls.length >= MAX_BATCH_CALLS;
    this.#inFlight = null;
    this.#pending = "acknowledge";
    return [{ kind: "acknowledge", epoch, seq: accepted }];
  }

  /** The journal has stored the acknowledgement. */
  journalAcknowledged(now: number): readonly UsageAction[] {
    this.#pending = null;
    this.#nextReadAt = this.#hasMore || this.#finishing !== null ? now : now + READ_INTERVAL_MS;
    return this.tick(now);
  }

  #send(inFlight: InFlight, now: number): readonly UsageAction[] {
    inFlight.sentAt = now;
    const { epoch, calls } = inFlight.batch;
    const frame: UsageFrame = { t: "usage", epoch, ackedSeq: this.#ackedSeq(epoch), calls: [...calls] };
    return [{ kind: "send-usage", frame }];
  }

  #ackedSeq(epoch: string): number {
    return this.#ackedSeqs.get(epoch) ?? 0;
  }
}
