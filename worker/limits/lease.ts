// Rate-limit tokens leased by this isolate for one key or address: spends them and sizes its lease requests. Pure: the
// isolate's clock is passed in and need not agree with the object's. Numbers in comments are decisions of design.md.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { LEASE_MARGIN_MS, RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { LeaseGrant, LeaseRequest } from "./lease-request.ts";
import { MAX_SHARE } from "./rate-window.ts";

/** An answer counts for this long from its request on: a key's revocation reaches every isolate within a second (7). */
export const LEASE_LIFE_MS = RATE_WINDOW_MS - LEASE_MARGIN_MS;

/** Tokens are short if they last for less than this and two round trips (5). */
const SHORT_MS = 20;

/** Fewer remaining tokens are left to waiting requests: a quarter of them is none (4). */
const MIN_TOP_UP_REMAINING = 1 / MAX_SHARE;

/** The last tokens of a large limit would cost a lease request each: this share counts as none (6). */
const SPARE_SHARE = 1 / 128;

/** `token`: a request can be admitted now. `spent`: not before the window ends. `none`: only a lease request can tell. */
export type TokenAvailability = "token" | "spent" | "none";

/** A lease request without its answer. */
export interface PendingLease extends LeaseRequest {
  readonly sentAt: number;
  /** Tokens that the answer will probably bring, besides the one for the request that waits. */
  readonly expected: number;
  answered: boolean;
}

/** A token that was spent, so that it can be returned: the end of its window. */
export type Token = number;

export class Lease {
  #tokens = 0;
  /** Tokens that the object had left after its last answer; within a window it only gets fewer. */
  #remaining = 0;
  #spare = 0;
  /** The earliest moment at which the object's window can end (2). */
  #endsAt = -Infinity;
  #roundTripMs = 0;
  /** The isolate's own second, and what was used and requested in it and in the one before. */
  #second = 0;
  #used = 0;
  #usedBefore = 0;
  #pending = 0;
  #pendingBefore = 0;

  availability(now: number): TokenAvailability {
    if (this.#tokens > 0 && this.#isLive(now)) return "token";
    return this.#remaining <= this.#spare && now < this.#endsAt ? "spent" : "none";
  }

  /** Spends the token that `availability` found. */
  take(now: number): Token {
    this.#turn(now);
    this.#tokens -= 1;
    this.#used += 1;
    return this.#endsAt;
  }

  /** Returns a token that another limit left unused, unless its window is over. */
  giveBack(token: Token, now: number): void {
    if (!this.#isLive(now) || now >= token - LEASE_MARGIN_MS) return;
    this.#tokens += 1;
    this.#endsAt = Math.min(this.#endsAt, token);
  }

  /** What is left of the window, as far as this isolate knows; null if it knows nothing. */
  left(now: number): { readonly remaining: number; readonly resetMs: number } | null {
    if (now >= this.#endsAt) return null;
    return { remaining: this.#remaining + this.#tokens, resetMs: this.#endsAt - now };
  }

  /** Notes the limit as its object reported it: until then, requests go by a default. */
  noteQuota(quota: number): void {
    this.#spare = Math.floor(quota * SPARE_SHARE);
  }

  /** The lease request of a client request that found no token and waits for the answer (3). */
  request(now: number, quota: number): PendingLease {
    this.#turn(now);
    this.noteQuota(quota);
    // Between the margin and the end, the object is still in the old window: more than one token would be lost (6).
    const isEnding = !this.#isLive(now) && now < this.#endsAt;
    return this.#send(now, quota, 1, isEnding ? 1 : Math.max(1, this.#missing(now)));
  }

  /** A lease request that no client request waits for; null unless tokens are short. */
  topUp(now: number, quota: number): PendingLease | null {
    this.#turn(now);
    if (!this.#isLive(now) || this.#remaining < MIN_TOP_UP_REMAINING) return null;
    if (this.#pending + this.#pendingBefore > 0) return null;
    const lastsMs = (this.#tokens * RATE_WINDOW_MS) / this.#usedPerWindow();
    if (lastsMs > 2 * this.#roundTripMs + SHORT_MS) return null;
    const missing = this.#missing(now);
    return missing > 0 ? this.#send(now, quota, 0, missing) : null;
  }

  /** A lease request for no token: it carries a report, or confirms a key. */
  report(now: number): PendingLease {
    return this.#send(now, 0, 0, 0);
  }

  /** @returns the token of the request that waited; null if none waited or none was granted. */
  receive(pending: PendingLease, { granted, remaining, endsInMs }: LeaseGrant, now: number): Token | null {
    if (pending.answered) return null;
    pending.answered = true;
    this.#turn(now);
    this.#settle(pending);
    this.#roundTripMs = Math.max(0, now - pending.sentAt);
    const endsAt = pending.sentAt + endsInMs;
    const used = Math.min(pending.waiting, granted);
    this.#used += used;
    this.#add(granted - used, remaining, endsAt, now);
    return used > 0 ? endsAt : null;
  }

  #add(tokens: number, remaining: number, endsAt: number, now: number): void {
    const laterByMs = endsAt - this.#endsAt;
    if (laterByMs > 0 && (!this.#isLive(now) || laterByMs > RATE_WINDOW_MS / 2)) {
      this.#tokens = tokens;
      this.#remaining = remaining;
      this.#endsAt = endsAt;
    } else if (laterByMs > -RATE_WINDOW_MS / 2) {
      // The same window, seen after another delay: the earlier end holds for all tokens.
      this.#tokens += tokens;
      this.#remaining = Math.min(this.#remaining, remaining);
      this.#endsAt = Math.min(this.#endsAt, endsAt);
    }
  }

  #isLive(now: number): boolean {
    return now < this.#endsAt - LEASE_MARGIN_MS;
  }

  #usedPerWindow(): number {
    return Math.max(this.#used, this.#usedBefore);
  }

  /** Tokens that the rest of the window will probably need, besides those that are here or requested (5). */
  #missing(now: number): number {
    const isLive = this.#isLive(now);
    const forMs = isLive ? this.#endsAt - now : LEASE_LIFE_MS - this.#roundTripMs;
    const needed = Math.ceil((this.#usedPerWindow() * forMs) / RATE_WINDOW_MS);
    return needed - (isLive ? this.#tokens : 0) - this.#pending - this.#pendingBefore;
  }

  #send(now: number, quota: number, waiting: number, want: number): PendingLease {
    const left = (this.#isLive(now) ? this.#remaining : quota) - this.#pending - this.#pendingBefore;
    const expected = Math.max(0, Math.min(want, Math.floor(left * MAX_SHARE)) - waiting);
    this.#pending += expected;
    return { sentAt: now, want, waiting, expected, answered: false };
  }

  /** A request that is never answered is forgotten a second after its own (5). */
  #settle({ sentAt, expected }: PendingLease): void {
    const age = this.#second - secondOf(sentAt);
    if (age === 0) this.#pending = Math.max(0, this.#pending - expected);
    if (age === 1) this.#pendingBefore = Math.max(0, this.#pendingBefore - expected);
  }

  #turn(now: number): void {
    const second = secondOf(now);
    if (second === this.#second) return;
    const follows = second === this.#second + 1;
    this.#usedBefore = follows ? this.#used : 0;
    this.#pendingBefore = follows ? this.#pending : 0;
    this.#used = this.#pending = 0;
    this.#second = second;
  }
}

function secondOf(ms: number): number {
  return Math.floor(ms / RATE_WINDOW_MS);
}

/** Leases by name, for up to `max` keys or addresses; the one used longest ago is evicted. */
export class LeaseTable<T> {
  readonly #entries: BoundedMap<string, T>;
  readonly #make: () => T;
  #latest = 0;

  constructor(max: number, make: () => T) {
    this.#entries = new BoundedMap(max);
    this.#make = make;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(name: string, now: number): T | undefined {
    this.#watchClock(now);
    return this.#entries.get(name);
  }

  /** The name's entry; a new one if there is none. */
  at(name: string, now: number): T {
    const known = this.find(name, now);
    if (known !== undefined) return known;
    const made = this.#make();
    this.#entries.set(name, made);
    return made;
  }

  set(name: string, entry: T): void {
    this.#entries.set(name, entry);
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  /**
   * (12) After a step back of the clock, leases would live past their windows: all entries are dropped, and answers that
   * are still to come change entries that nothing reads. A request's clock stands still while it is worked on, so it
   * may lag behind another's by less than the margin.
   */
  #watchClock(now: number): void {
    if (now < this.#latest - LEASE_MARGIN_MS) this.#entries.clear();
    else if (now <= this.#latest) return;
    this.#latest = now;
  }
}
