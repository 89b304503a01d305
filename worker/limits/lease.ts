// What an isolate holds of one name's windows (a key's, an address's), and when it asks for more. Pure, its clock
// passed in: the isolate's own, which need not agree with the object's.
//
// Around a window's end there is a moment in which the isolate can't know which window the object is in: as long as
// a question and its answer were on the way, and the margin. A request that comes then spends a token of both
// windows, so that neither is exceeded whichever it was, and nobody waits.
import { LEASE_MARGIN_MS, LIMITER_TIMEOUT_MS, RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { Lease } from "./lease-request.ts";
import { Demand } from "./arrival-rate.ts";
import { HeldWindow } from "./lease-window.ts";
import { LIFE_MS, needsOf, spareOf, type Needs } from "./lease-sizing.ts";

/** Whether a request can be let in now: by a token, a token of each of two windows, not before the window ends, or by asking. */
export type Standing = "token" | "pair" | "spent" | "ask";

/** A question on its way. */
export interface Ticket {
  readonly sentAt: number;
  readonly want: number;
  readonly waiting: number;
  readonly wantNext: number;
  /** Of what the isolate knew then: a clock that stepped back ends it. */
  readonly epoch: number;
  answered: boolean;
}

/** A token that was taken, for it to be given back. */
export interface Taken {
  readonly diesAt: number;
  readonly window: number;
}

/** What is told of a limit beside an answer. */
export interface Left {
  readonly remaining: number;
  readonly resetMs: number;
}

/** An answer that took longer can't be told to be this window's or the next one's: nothing of it is kept. */
const MAX_TRIP_MS = RATE_WINDOW_MS / 2;

/** Clocks tell whole milliseconds, and drift by a tenth of one while a lease lives: so far off is what an answer tells of a window's end. */
const TICK_MS = 2;

/** Background questions come no faster, milliseconds: a busy name costs at most 14 a second, which at a quarter each drain a window to 2 %. */
const PACE_MS = 75;

export class HeldLease<T> {
  /** What the object last told of the name. */
  value: T | null = null;
  #toldAt = -Infinity;
  #now = new HeldWindow();
  #next = new HeldWindow();
  /** Counts the windows, so that no token is given back to another than its own. */
  #window = 0;
  #epoch = 0;
  readonly #demand: Demand;
  #lookAgainAt = 0;
  /** How long the last answer took. */
  #tripMs = 0;
  // Asked for and not yet answered.
  #coming = 0;
  #comingNext = 0;
  #waiting = 0;
  #comingUntil = 0;
  #quota = Infinity;
  /** What counts as nothing left. */
  #spare = 0;
  /** More comes than the limit allows, as far as the last moments tell. */
  #isOver = false;
  /** Requests of this window and of the one before it, whatever became of them. */
  #seen = 0;
  #seenBefore = 0;
  #turnedAt = -Infinity;

  constructor(now: number) {
    this.#demand = new Demand(now);
  }

  /** Whether the object said what `value` says less than a lease's life ago. */
  isTold(now: number): boolean {
    return this.isToldWithin(LIFE_MS, now);
  }

  isToldWithin(ms: number, now: number): boolean {
    return now < this.#toldAt + ms;
  }

  /** Counts a request, whatever becomes of it, and says whether it can be let in. */
  standing(now: number): Standing {
    this.#demand.note();
    this.#advance(now);
    this.#seen += 1;
    const window = this.#now;
    if (!window.known) return "ask";
    if (now < window.endsAfter - LEASE_MARGIN_MS) {
      if (window.has(now)) return "token";
      return this.#isSpent(now) ? "spent" : "ask";
    }
    if (window.has(now)) return this.#next.has(now) ? "pair" : "ask";
    return window.remaining <= this.#spare || this.#isPastLimit(now) ? "spent" : "ask";
  }

  /** A token that came with another request's answer meanwhile; null where there is none to be had without asking. */
  rescue(now: number): Taken | null {
    this.#advance(now);
    const window = this.#now;
    const isSure = window.known && now < window.endsAfter - LEASE_MARGIN_MS;
    return isSure && window.has(now) ? this.take("token") : null;
  }

  /** Spends what `standing` found at this moment. */
  take(standing: "token" | "pair"): Taken {
    const diesAt = this.#now.take();
    // Of a pair none comes back: by then it may be either window.
    if (standing === "pair") this.#next.take();
    return { diesAt: standing === "pair" ? 0 : diesAt, window: this.#window };
  }

  giveBack(taken: Taken, now: number): void {
    this.#advance(now);
    if (taken.window === this.#window && taken.diesAt > now) this.#now.add(1, taken.diesAt, Infinity);
  }

  /** What is left of the window, as far as this isolate can know; null where it knows nothing. */
  left(now: number): Left | null {
    const window = this.#now;
    if (!window.known || now >= window.endsBefore) return null;
    return {
      remaining: window.remaining + window.held(now),
      resetMs: Math.min(RATE_WINDOW_MS, Math.max(1, window.endsBefore - TICK_MS - now)),
    };
  }

  /** A question for a request that waits, and for those that most likely follow. */
  ask(now: number, quota: number): Ticket {
    this.#lookAgainAt = now + PACE_MS;
    const { want, wantNext } = this.#needs(now, quota);
    return this.#ticket(now, 1, 1 + want, wantNext);
  }

  /** A question that wants nothing: what it tells is for whoever sends it. */
  report(now: number): Ticket {
    return this.#ticket(now, 0, 0, 0);
  }

  /** A question for nobody who waits, where it is time for one. */
  askAhead(now: number, quota: number): Ticket | null {
    if (now < this.#lookAgainAt) return null;
    this.#lookAgainAt = now + PACE_MS;
    const { want, wantNext, pressing } = this.#needs(now, quota);
    return pressing ? this.#ticket(now, 0, want, wantNext) : null;
  }

  /**
   * Keeps what an answer brought.
   * @param used of its tokens, by those who waited for it
   * @returns the token used, for it to be given back; null where nothing of the answer could be kept
   */
  keep(ticket: Ticket, lease: Lease, value: T, used: number, now: number): Taken | null {
    if (!this.settle(ticket, now)) return null;
    if (ticket.sentAt >= this.#toldAt) {
      this.value = value;
      this.#toldAt = ticket.sentAt;
    }
    const tripMs = now - ticket.sentAt;
    if (tripMs < 0 || tripMs > MAX_TRIP_MS) return null;
    this.#tripMs = tripMs;
    this.#advance(now);
    const diesAt = ticket.sentAt + LIFE_MS;
    const { endsInMs, next } = lease;
    const window = this.#windowEnding(
      ticket.sentAt + endsInMs - TICK_MS,
      now + endsInMs + TICK_MS,
      true,
      now,
    );
    const lives = diesAt > now;
    window?.add(lives ? lease.granted - used : 0, diesAt, lease.remaining);
    if (next !== null) {
      const sooner = ticket.sentAt + next.endsInMs - TICK_MS;
      const after = this.#windowEnding(sooner, now + next.endsInMs + TICK_MS, false, now);
      after?.add(lives ? next.granted : 0, diesAt, next.remaining);
    }
    return window === this.#now ? { diesAt, window: this.#window } : null;
  }

  /** A question has its answer, or won't get one. @returns whether an answer to it still counts */
  settle(ticket: Ticket, now: number): boolean {
    if (ticket.answered || ticket.epoch !== this.#epoch) return false;
    ticket.answered = true;
    if (now < this.#comingUntil) {
      this.#coming = Math.max(0, this.#coming - ticket.want + ticket.waiting);
      this.#comingNext = Math.max(0, this.#comingNext - ticket.wantNext);
      this.#waiting = Math.max(0, this.#waiting - ticket.waiting);
    }
    return true;
  }

  /** The clock stepped back: when anything dies can't be told any more. */
  forget(): void {
    this.#epoch += 1;
    this.#window += 1;
    this.#toldAt = -Infinity;
    this.#now.forget();
    this.#next.forget();
    this.#lookAgainAt = 0;
    this.#comingUntil = 0;
  }

  /** Whether nothing can be left of the window now, or is not worth to wait for. */
  #isSpent(now: number): boolean {
    const asked = now < this.#comingUntil;
    // Requests that wait for an answer each take one of what is left.
    if (this.#now.remaining <= this.#spare + (asked ? this.#waiting : 0)) return true;
    return this.#isPastLimit(now) && asked && this.#coming + this.#waiting > 0;
  }

  /**
   * Of what comes now some is refused whatever is done, and none needs to wait for that: more has come already, or did
   * in the window before. A burst within the limit is no such case, however fast it comes.
   */
  #isPastLimit(now: number): boolean {
    if (!this.#isOver) return false;
    const before = now - this.#turnedAt < RATE_WINDOW_MS ? this.#seenBefore : 0;
    return this.#seen > this.#quota || before > this.#quota;
  }

  /** The window is over. */
  #turn(now: number): void {
    this.#seenBefore = this.#seen;
    this.#seen = 0;
    this.#turnedAt = now;
    this.#window += 1;
  }

  #needs(now: number, quota: number): Needs {
    if (now >= this.#comingUntil) this.#coming = this.#comingNext = this.#waiting = 0;
    const perSecond = this.#demand.rate(now) * RATE_WINDOW_MS;
    this.#quota = quota;
    this.#spare = spareOf(quota);
    this.#isOver = perSecond >= quota;
    return needsOf({
      now,
      quota,
      perSecond,
      window: this.#now,
      next: this.#next,
      coming: this.#coming,
      comingNext: this.#comingNext,
      tripMs: this.#tripMs,
    });
  }

  #ticket(now: number, waiting: number, want: number, wantNext: number): Ticket {
    this.#coming += want - waiting;
    this.#comingNext += wantNext;
    this.#waiting += waiting;
    this.#comingUntil = now + LIMITER_TIMEOUT_MS;
    return { sentAt: now, want, waiting, wantNext, epoch: this.#epoch, answered: false };
  }

  /** The window that ends between these two moments; null where that one is over. */
  #windowEnding(after: number, before: number, isCurrent: boolean, now: number): HeldWindow | null {
    const current = this.#now;
    if (current.couldEndBetween(after, before)) {
      current.narrow(after, before);
      return current;
    }
    if (this.#next.couldEndBetween(after, before)) {
      const next = this.#next;
      next.narrow(after, before);
      // The object is in it, so it has begun.
      if (isCurrent) this.#begin(next, now);
      return next;
    }
    if (current.known && before < current.endsAfter) return null;
    if (isCurrent || !current.known) {
      this.#begin(this.#next, now);
      this.#now.begin(after, before);
      return this.#now;
    }
    this.#next.begin(after, before);
    return this.#next;
  }

  #advance(now: number): void {
    const next = this.#next;
    const begun = (this.#now.known && now >= this.#now.endsBefore) || now >= next.endsBefore - RATE_WINDOW_MS;
    if (next.known && begun) this.#begin(next, now);
    if (this.#now.known && now >= this.#now.endsBefore) {
      this.#now.forget();
      this.#turn(now);
    }
  }

  /** `next` is the window now. */
  #begin(next: HeldWindow, now: number): void {
    // Requests that came while no window was known are this one's.
    if (this.#now.known) this.#turn(now);
    else this.#window += 1;
    this.#next = this.#now;
    this.#now = next;
    this.#next.forget();
  }
}
