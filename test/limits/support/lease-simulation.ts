// One object, many isolates and the network between them, in simulated time: the real cores, everything else made
// up from a seed. It keeps the books that the cores can't: what was granted and admitted in which of the object's
// windows.
import { LIMITER_TIMEOUT_MS, RATE_WINDOW_MS } from "../../../shared/limits.ts";
import type { Lease } from "../../../worker/limits/lease-request.ts";
import { HeldLease, type Ticket } from "../../../worker/limits/lease.ts";
import { LeasePool } from "../../../worker/limits/bounded-map.ts";
import { grant, NO_WINDOW, type RateWindow } from "../../../worker/limits/rate-window.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

export interface Plan {
  readonly seed: number;
  readonly quota: number;
  readonly isolates: number;
  /** Requests a second, over all isolates. */
  readonly perSecond: number;
  readonly forMs: number;
  /** There and back, milliseconds; each way varies by up to `jitter` of its half. */
  readonly tripMs: number;
  readonly jitter: number;
  /** Shares of messages. */
  readonly lost: number;
  readonly repeated: number;
  readonly slow: number;
  /** Restarts of the object, and steps of a clock, a second. */
  readonly restarts: number;
  readonly objectSteps: number;
  readonly isolateSteps: number;
  /** A request's time stands still while it is worked on, milliseconds at most. */
  readonly lagMs: number;
  /** Requests come evenly, or as they please. */
  readonly even: boolean;
}

export const CALM: Omit<Plan, "seed" | "quota" | "isolates" | "perSecond" | "tripMs"> = {
  forMs: 12_000,
  jitter: 0.1,
  lost: 0,
  repeated: 0,
  slow: 0,
  restarts: 0,
  objectSteps: 0,
  isolateSteps: 0,
  lagMs: 0,
  even: false,
};

/** What happened in one of the object's windows. */
export interface WindowBook {
  granted: number;
  /** By the moment a request was let in; of one that waited, when its token was granted. */
  admitted: number;
  requests: number;
  waited: number;
  questions: number;
  restarts: number;
}

/** Clocks are this fast or slow: ten times a bad quartz. */
const DRIFT = 1e-4;
const TIME_ZERO = 1_790_000_000_000;

class Clock {
  #offset: number;
  readonly #drift: number;

  constructor(random: SeededRandom) {
    this.#offset = TIME_ZERO + random.below(7_200_000) - 3_600_000;
    this.#drift = 1 + (random.next() * 2 - 1) * DRIFT;
  }

  at(time: number): number {
    return Math.floor(this.#offset + time * this.#drift);
  }

  step(ms: number): void {
    this.#offset += ms;
  }
}

interface Isolate {
  readonly clock: Clock;
  readonly pool: LeasePool<HeldLease<string>>;
}

export class Simulation {
  readonly windows = new Map<number, WindowBook>();
  /** Tokens over all windows. */
  granted = 0;
  admitted = 0;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #events = new Timeline();
  readonly #objectClock: Clock;
  readonly #isolates: Isolate[];
  #state: RateWindow = NO_WINDOW;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new SeededRandom(plan.seed);
    this.#objectClock = new Clock(this.#random);
    this.#isolates = Array.from({ length: plan.isolates }, () => ({
      clock: new Clock(this.#random),
      pool: new LeasePool(10, (now) => new HeldLease<string>(now)),
    }));
  }

  run(): this {
    const { forMs, restarts, objectSteps, isolateSteps } = this.#plan;
    this.#events.add(0, (time) => this.#arrive(time));
    this.#nowAndThen(restarts, (time) => {
      this.#state = NO_WINDOW;
      this.#book(time).restarts += 1;
    });
    this.#nowAndThen(objectSteps, () => this.#objectClock.step(this.#stepMs()));
    this.#nowAndThen(isolateSteps, () => this.#random.pick(this.#isolates).clock.step(this.#stepMs()));
    this.#events.runUntil(forMs);
    return this;
  }

  #nowAndThen(perSecond: number, what: (time: number) => void): void {
    if (perSecond === 0) return;
    const again = (time: number): void => {
      what(time);
      this.#events.add(time + (1000 / perSecond) * 2 * this.#random.next(), again);
    };
    this.#events.add((1000 / perSecond) * this.#random.next(), again);
  }

  #stepMs(): number {
    return this.#random.below(3_000) - 1_500;
  }

  #arrive(time: number): void {
    const { perSecond, even } = this.#plan;
    const gap = 1000 / perSecond;
    this.#events.add(time + (even ? gap : -Math.log(1 - this.#random.next()) * gap), (at) =>
      this.#arrive(at),
    );
    const isolate = this.#random.pick(this.#isolates);
    const lag = this.#random.next() * this.#plan.lagMs;
    const now = isolate.clock.at(Math.max(0, time - lag));
    const lease = isolate.pool.at("key", now);
    this.#book(time).requests += 1;
    const standing = lease.standing(now);
    if (standing === "token" || standing === "pair") {
      lease.take(standing);
      this.#book(time).admitted += 1;
      this.admitted += standing === "pair" ? 2 : 1;
    }
    if (standing === "ask") {
      this.#book(time).waited += 1;
      this.#send(time, isolate, lease.ask(now, this.#plan.quota));
      return;
    }
    const ahead = lease.askAhead(now, this.#plan.quota);
    if (ahead !== null) this.#send(time, isolate, ahead);
  }

  #send(time: number, isolate: Isolate, ticket: Ticket): void {
    const { lost, repeated } = this.#plan;
    this.#book(time).questions += 1;
    for (let copy = this.#random.chance(repeated) ? 2 : 1; copy > 0; copy -= 1) {
      if (this.#random.chance(lost)) continue;
      this.#events.add(time + this.#way(), (at) => this.#answer(at, isolate, ticket));
    }
    this.#events.add(time + LIMITER_TIMEOUT_MS, (at) => {
      isolate.pool.at("key", isolate.clock.at(at)).settle(ticket, isolate.clock.at(at));
    });
  }

  /** The object is asked; what it grants is on the books from here on. */
  #answer(time: number, isolate: Isolate, ticket: Ticket): void {
    const { quota, lost, repeated } = this.#plan;
    const taken = grant(this.#state, { quota, windowMs: RATE_WINDOW_MS }, ticket, this.#objectClock.at(time));
    this.#state = taken.window;
    const { grant: lease } = taken;
    this.#book(time).granted += lease.granted;
    if (lease.next !== null) this.#book(time, 1).granted += lease.next.granted;
    this.granted += lease.granted + (lease.next?.granted ?? 0);
    const used = Math.min(ticket.waiting, lease.granted);
    for (let copy = this.#random.chance(repeated) ? 2 : 1; copy > 0; copy -= 1) {
      if (this.#random.chance(lost)) continue;
      this.#events.add(time + this.#way(), (at) =>
        this.#receive(at, isolate, ticket, { lease, used, grantedAt: time }),
      );
    }
  }

  #receive(
    time: number,
    isolate: Isolate,
    ticket: Ticket,
    { lease, used, grantedAt }: { readonly lease: Lease; readonly used: number; readonly grantedAt: number },
  ): void {
    const now = isolate.clock.at(time);
    const first = !ticket.answered;
    isolate.pool.at("key", now).keep(ticket, lease, "told", used, now);
    if (!first || !ticket.answered) return;
    this.#book(grantedAt).admitted += used;
    this.admitted += used;
  }

  #way(): number {
    const { tripMs, jitter, slow } = this.#plan;
    if (this.#random.chance(slow)) return this.#random.below(1_900);
    return (tripMs / 2) * (1 + (this.#random.next() * 2 - 1) * jitter);
  }

  /** The books of the object's window at a moment, or of one after it. */
  #book(time: number, after = 0): WindowBook {
    const own = this.#objectClock.at(time) + this.#state.heldBackMs;
    const number = Math.floor(own / RATE_WINDOW_MS) + after;
    const known = this.windows.get(number);
    if (known !== undefined) return known;
    const book = { granted: 0, admitted: 0, requests: 0, waited: 0, questions: 0, restarts: 0 };
    this.windows.set(number, book);
    return book;
  }
}

type What = (time: number) => void;

/** What happens when, in order: a binary heap. */
class Timeline {
  readonly #heap: { readonly at: number; readonly order: number; readonly what: What }[] = [];
  #added = 0;

  add(at: number, what: What): void {
    const heap = this.#heap;
    heap.push({ at, order: (this.#added += 1), what });
    for (let child = heap.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (!this.#isBefore(child, parent)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  runUntil(end: number): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.at >= end) return;
      this.#removeFirst();
      first.what(first.at);
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let parent = 0; ;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === parent) return;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(one: number, other: number): void {
    const heap = this.#heap;
    const [a, b] = [heap[one], heap[other]];
    if (a === undefined || b === undefined) return;
    heap[one] = b;
    heap[other] = a;
  }
}
