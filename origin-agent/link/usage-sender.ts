// Which usage goes over the link and when: one batch in flight, in the journal's order, told again until it is
// acknowledged. A pure core: the clock comes in; it says what is to be done and does none of it. What it loses with
// a link is nothing: until an acknowledgement the calls stay in the journal, and the ledger takes each of them once.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { MAX_BATCH_CALLS, type UsageFrame } from "../../shared/wire.ts";
import type { UsageBatch } from "../usage/journal.ts";

/** A batch not acknowledged for so long is told again, milliseconds: the ledger books in well under a second. */
export const ACK_WITHIN_MS = 10_000;

/**
 * While calls end the journal is asked for them this often, milliseconds. They can be read half a second after they
 * were written, so each is told within a second, and all that ended in this time share a frame.
 */
export const USAGE_EVERY_MS = 400;

/** A call's end can be read from the journal at the latest so long after it was noted, milliseconds: a disk's sync is in it. */
const READABLE_AFTER_MS = 1_500;

/** Where nothing ends the journal is asked this often, milliseconds: it may have adopted another's. */
export const IDLE_READ_MS = 5_000;

/** Epochs whose last acknowledgement is remembered; an older one begins again from 0, which costs nothing but that. */
const MAX_EPOCHS = 64;

export type UsageCommand =
  /** Ask the journal for its next calls; `read` takes the answer. */
  | { readonly kind: "read" }
  | { readonly kind: "usage"; readonly frame: UsageFrame }
  /** Tell the journal; `acknowledged` hears that it is done. */
  | { readonly kind: "acknowledge"; readonly epoch: string; readonly upTo: number }
  /** The ledger holds less of an epoch than it once acknowledged: somebody set it back. */
  | { readonly kind: "ledger-behind"; readonly epoch: string; readonly calls: number };

interface Flight {
  readonly batch: UsageBatch;
  readonly last: number;
  sentAt: number;
}

export class UsageFlow {
  /** By epoch, the last number that the edge said it holds. */
  readonly #afters = new BoundedMap<string, number>(MAX_EPOCHS);
  #linked = false;
  #flight: Flight | null = null;
  #busy: "reading" | "acknowledging" | null = null;
  #dueAt = -Infinity;
  /** When a call last ended that the journal may not have shown yet. */
  #notedAt: number | null = null;
  #behindSince: number | null = null;
  /** The journal is likely to hold more than the batch that was acknowledged last. */
  #more = false;
  /** Null: it goes on. `again`: what is being read now was asked for before the end. */
  #finishing: "again" | "reading" | "done" | null = null;

  /** Since when something waits to be acknowledged, by the clock that comes in; null where nothing does. */
  get behindSince(): number | null {
    return this.#behindSince;
  }

  /** All that the journal held at `finish` is acknowledged. */
  get finished(): boolean {
    return this.#finishing === "done";
  }

  /** There is a link, and it has been greeted. */
  linked(now: number): readonly UsageCommand[] {
    this.#linked = true;
    this.#dueAt = now;
    return this.tick(now);
  }

  /** The link is gone; what was under way is told again over the next one. */
  cut(): void {
    this.#linked = false;
    this.#flight = null;
  }

  /** A call has ended, and the journal was told. */
  noted(now: number): void {
    this.#notedAt = now;
    this.#dueAt = Math.min(this.#dueAt, now + USAGE_EVERY_MS);
  }

  /** From now on nothing new comes; what the journal holds is told, then all is `finished`. */
  finish(now: number): readonly UsageCommand[] {
    this.#finishing = this.#busy === "reading" ? "again" : "reading";
    this.#dueAt = now;
    return this.tick(now);
  }

  nextAt(): number {
    if (!this.#linked || this.finished) return Infinity;
    if (this.#flight !== null) return this.#flight.sentAt + ACK_WITHIN_MS;
    return this.#busy === null ? this.#dueAt : Infinity;
  }

  tick(now: number): readonly UsageCommand[] {
    if (now < this.nextAt()) return [];
    if (this.#flight !== null) return this.#send(this.#flight, now);
    this.#busy = "reading";
    return [{ kind: "read" }];
  }

  /**
   * What the journal answered.
   * @param oldestAgeMs how long ago the first of the calls ended
   */
  read(batch: UsageBatch | null, oldestAgeMs: number, now: number): readonly UsageCommand[] {
    this.#busy = null;
    if (this.#finishing === "again") {
      this.#finishing = "reading";
      this.#dueAt = now;
    } else if (batch === null && this.#finishing === "reading") this.#finishing = "done";
    const last = batch?.calls.at(-1)?.seq;
    if (batch === null || last === undefined) {
      this.#behindSince = null;
      if (this.#notedAt !== null && now - this.#notedAt > READABLE_AFTER_MS) this.#notedAt = null;
      if (this.#finishing === null) this.#dueAt = now + this.#pause();
      return this.tick(now);
    }
    this.#behindSince = now - oldestAgeMs;
    if (!this.#linked) return [];
    this.#flight = { batch, last, sentAt: now };
    return this.#send(this.#flight, now);
  }

  /** The edge says that it holds every call of the epoch up to this number. */
  acked(epoch: string, upTo: number, now: number): readonly UsageCommand[] {
    const flight = this.#flight;
    // Of something else: said twice, or about a batch of a link that is gone.
    if (flight === null || flight.batch.epoch !== epoch) return [];
    const after = this.#after(epoch);
    // An echo of the batch before, or a refusal that changes nothing; the batch is told again in time.
    if (upTo === after) return [];
    if (upTo < after) {
      this.#afters.set(epoch, upTo);
      return [{ kind: "ledger-behind", epoch, calls: after - upTo }, ...this.#send(flight, now)];
    }
    // Not beyond what it was told: what it never got must not be thrown away on its word.
    const held = Math.min(upTo, flight.last);
    this.#afters.set(epoch, held);
    this.#more = held < flight.last || flight.batch.calls.length >= MAX_BATCH_CALLS;
    this.#flight = null;
    this.#busy = "acknowledging";
    return [{ kind: "acknowledge", epoch, upTo: held }];
  }

  /** The journal has let go of what was acknowledged. */
  acknowledged(now: number): readonly UsageCommand[] {
    this.#busy = null;
    this.#dueAt = this.#more || this.#finishing !== null ? now : now + USAGE_EVERY_MS;
    return this.tick(now);
  }

  #pause(): number {
    return this.#notedAt === null ? IDLE_READ_MS : USAGE_EVERY_MS;
  }

  #send(flight: Flight, now: number): readonly UsageCommand[] {
    flight.sentAt = now;
    const { epoch, calls } = flight.batch;
    const frame: UsageFrame = { t: "usage", epoch, after: this.#after(epoch), calls: [...calls] };
    return [{ kind: "usage", frame }];
  }

  #after(epoch: string): number {
    return this.#afters.get(epoch) ?? 0;
  }
}
