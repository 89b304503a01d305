// State of one client address in this isolate: free passes, lease, failed keys, and whether the platform's shield
// blocks it. Most addresses need only the passes. Pure, the clock is passed in.
import { ADDRESS_FREE_PER_SECOND, RATE_WINDOW_MS } from "../../shared/limits.ts";
import { NO_FAILED_KEYS, noteFailedKeys, suspectForMs, type CheckTurns } from "./failed-keys.ts";
import type { AddressLeaseAnswer, AddressLeaseRequest } from "./lease-request.ts";
import { Lease, type PendingLease, type Token, type TokenAvailability } from "./lease.ts";
import type { LimitStatus } from "./rate-headers.ts";

/** `free`: admitted without a token. */
export type AddressAvailability = "free" | TokenAvailability;

/** How long a block by the shield lasts before the shield is asked again; the platform counts in tens of seconds. */
const SHIELD_MS = 1_000;

export class AddressState {
  /** The second of the isolate's clock that `#passed` counts; the object's windows begin at other moments. */
  #second = 0;
  #passed = 0;
  /** Of those, the passes that no lease request has included yet. */
  #unreportedPasses = 0;
  #lease: Lease | null = null;
  #failedKeys = NO_FAILED_KEYS;
  #unreportedKeys = 0;
  #suspectUntil = 0;
  /** Null until the address was suspect and sent a key that the isolate doesn't know. */
  checkTurns: CheckTurns | null = null;
  #shieldedUntil = 0;

  availability(now: number, perSecond: number): AddressAvailability {
    this.#turn(now);
    if (this.#passed < Math.min(ADDRESS_FREE_PER_SECOND, perSecond)) return "free";
    return this.#lease?.availability(now) ?? "none";
  }

  /** Spends what `availability` found. @returns null for a free pass */
  take(availability: "free" | "token", now: number): Token | null {
    if (availability === "token") return this.#leased().take(now);
    this.#passed += 1;
    this.#unreportedPasses += 1;
    return null;
  }

  giveBack(token: Token | null, now: number): void {
    if (token !== null) {
      this.#lease?.giveBack(token, now);
      return;
    }
    this.#turn(now);
    this.#passed = Math.max(0, this.#passed - 1);
    this.#unreportedPasses = Math.max(0, this.#unreportedPasses - 1);
  }

  /** What is left of the limit, as far as this isolate knows. */
  status(now: number, perSecond: number): LimitStatus {
    this.#turn(now);
    const notPassed = Math.max(0, perSecond - this.#passed);
    const left = this.#lease?.left(now) ?? null;
    if (left === null) {
      return { perSecond, remaining: notPassed, resetMs: RATE_WINDOW_MS - (now % RATE_WINDOW_MS) };
    }
    const remaining = Math.max(0, Math.min(notPassed, left.remaining - this.#unreportedPasses));
    return { perSecond, remaining, resetMs: left.resetMs };
  }

  request(now: number, perSecond: number): PendingLease {
    return this.#leased().request(now, perSecond);
  }

  topUp(now: number, perSecond: number): PendingLease | null {
    return this.#lease?.topUp(now, perSecond) ?? null;
  }

  /** A lease request that only reports failed keys. */
  report(now: number): PendingLease {
    return this.#leased().report(now);
  }

  /** What no lease request has included yet; counted as included from now on. */
  takeReport(): Pick<AddressLeaseRequest, "passed" | "failedKeys"> {
    const report = { passed: this.#unreportedPasses, failedKeys: this.#unreportedKeys };
    this.#unreportedPasses = this.#unreportedKeys = 0;
    return report;
  }

  /** @returns the token of the request that waited, or one that another answer left here. */
  receive(pending: PendingLease, answer: AddressLeaseAnswer, now: number): Token | null {
    const lease = this.#leased();
    this.#suspectUntil = Math.max(this.#suspectUntil, now + answer.suspectForMs);
    const token = lease.receive(pending, answer.lease, now);
    const isRescued = token === null && pending.waiting > 0 && lease.availability(now) === "token";
    return isRescued ? lease.take(now) : token;
  }

  noteFailedKey(now: number): void {
    this.#failedKeys = noteFailedKeys(this.#failedKeys, 1, now);
    this.#unreportedKeys += 1;
  }

  /** Whether keys that the isolate doesn't know are checked one at a time. */
  isSuspect(now: number): boolean {
    return now < this.#suspectUntil || suspectForMs(this.#failedKeys, now) > 0;
  }

  raiseShield(now: number): void {
    this.#shieldedUntil = now + SHIELD_MS;
  }

  /** How long the platform's shield blocks this address; 0 if it doesn't. */
  shieldedForMs(now: number): number {
    return Math.max(this.#shieldedUntil - now, 0);
  }

  #leased(): Lease {
    return (this.#lease ??= new Lease());
  }

  #turn(now: number): void {
    const second = Math.floor(now / RATE_WINDOW_MS);
    if (second === this.#second) return;
    this.#second = second;
    this.#passed = this.#unreportedPasses = 0;
  }
}
