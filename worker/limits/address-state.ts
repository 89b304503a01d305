// What an isolate knows of one client address: what it let pass unasked, its lease, its failed keys, and whether
// the platform's shield is up. Most addresses never need more than the first. Pure, its clock passed in.
import { keysRefusedForMs, NO_FAILED_KEYS, noteFailedKeys } from "./failed-keys.ts";
import { ADDRESS_FREE_PER_SECOND, RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { AddressLeaseAnswer, AddressLeaseQuestion } from "./lease-request.ts";
import { HeldLease, type Left, type Standing, type Taken, type Ticket } from "./lease.ts";

/** `free`: let pass unasked. */
export type AddressStanding = "free" | Standing;

/** A shield that is up is asked again after this long, milliseconds: the platform counts in tens of seconds. */
const SHIELD_MS = 1_000;

export class HeldAddress {
  /** Of the isolate's clock, the one that is counted; the object's windows begin elsewhere, which costs nobody. */
  #second = 0;
  #passed = 0;
  /** Of those, not yet told to the object. */
  #untold = 0;
  #lease: HeldLease<null> | null = null;
  #failed = NO_FAILED_KEYS;
  #failedUntold = 0;
  #keysRefusedUntil = 0;
  #shieldedUntil = 0;

  /** Counts a request, and says whether it can be let in. */
  standing(now: number, perSecond: number): AddressStanding {
    this.#turn(now);
    if (this.#passed < Math.min(ADDRESS_FREE_PER_SECOND, perSecond)) return "free";
    this.#lease ??= new HeldLease<null>(now);
    return this.#lease.standing(now);
  }

  /** Spends what `standing` found at this moment. @returns null for a free pass */
  take(standing: "free" | "token" | "pair"): Taken | null {
    if (standing !== "free" && this.#lease !== null) return this.#lease.take(standing);
    this.#passed += 1;
    this.#untold += 1;
    return null;
  }

  giveBack(taken: Taken | null, now: number): void {
    if (taken !== null) {
      this.#lease?.giveBack(taken, now);
      return;
    }
    this.#turn(now);
    if (this.#passed > 0) this.#passed -= 1;
    if (this.#untold > 0) this.#untold -= 1;
  }

  /** What is left of the window, as far as this isolate can know. */
  left(now: number, perSecond: number): Left {
    this.#turn(now);
    const free = Math.max(0, perSecond - this.#passed);
    const lease = this.#lease?.left(now) ?? null;
    if (lease === null) return { remaining: free, resetMs: RATE_WINDOW_MS - (now % RATE_WINDOW_MS) };
    const told = Math.max(0, lease.remaining - this.#untold);
    return { remaining: Math.min(free, told), resetMs: lease.resetMs };
  }

  /** A question for a request that waits. */
  ask(now: number, perSecond: number): Ticket {
    this.#lease ??= new HeldLease<null>(now);
    return this.#lease.ask(now, perSecond);
  }

  askAhead(now: number, perSecond: number): Ticket | null {
    return this.#lease?.askAhead(now, perSecond) ?? null;
  }

  /** A token that came with another request's answer meanwhile. */
  rescue(now: number): Taken | null {
    return this.#lease?.rescue(now) ?? null;
  }

  /** A question that only tells of failed keys. */
  report(now: number): Ticket {
    this.#lease ??= new HeldLease<null>(now);
    return this.#lease.report(now);
  }

  /** A ticket as the object is asked it, with all that it wasn't told yet. */
  question({ want, waiting, wantNext }: Ticket, perSecond: number): AddressLeaseQuestion {
    const question = {
      want,
      waiting,
      wantNext,
      perSecond,
      passed: this.#untold,
      failedKeys: this.#failedUntold,
    };
    this.#untold = 0;
    this.#failedUntold = 0;
    return question;
  }

  /** @returns the token used, for it to be given back; null where nothing of the answer could be kept */
  keep(
    ticket: Ticket,
    { lease, keysRefusedForMs: forMs }: AddressLeaseAnswer,
    used: number,
    now: number,
  ): Taken | null {
    if (forMs > 0) this.#keysRefusedUntil = Math.max(this.#keysRefusedUntil, now + forMs);
    return this.#lease?.keep(ticket, lease, null, used, now) ?? null;
  }

  settle(ticket: Ticket, now: number): void {
    this.#lease?.settle(ticket, now);
  }

  noteFailedKey(now: number): void {
    this.#failed = noteFailedKeys(this.#failed, 1, now);
    this.#failedUntold += 1;
  }

  /** For how long keys not known to be good are refused, milliseconds; 0 where they aren't. */
  keysRefusedForMs(now: number): number {
    return Math.max(keysRefusedForMs(this.#failed, now), this.#keysRefusedUntil - now, 0);
  }

  raiseShield(now: number): void {
    this.#shieldedUntil = now + SHIELD_MS;
  }

  /** For how long the platform's shield keeps this address out, milliseconds; 0 where it doesn't. */
  shieldedForMs(now: number): number {
    return Math.max(this.#shieldedUntil - now, 0);
  }

  dropLease(): void {
    this.#lease = null;
  }

  /** The clock stepped back. */
  forget(): void {
    this.#lease?.forget();
    this.#second = 0;
    this.#passed = 0;
    this.#untold = 0;
    this.#keysRefusedUntil = 0;
    this.#shieldedUntil = 0;
  }

  #turn(now: number): void {
    const second = Math.floor(now / RATE_WINDOW_MS);
    if (second === this.#second) return;
    this.#second = second;
    this.#passed = 0;
    this.#untold = 0;
  }
}
