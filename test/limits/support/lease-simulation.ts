// Simulates one limiter object, many isolates and the network between them in virtual time: the real cores, everything
// else generated from a seed. It records what was granted and admitted in each of the object's windows.
import { RATE_WINDOW_MS } from "../../../shared/limits.ts";
import type { LeaseGrant } from "../../../worker/limits/lease-request.ts";
import { Lease, LeaseTable, type PendingLease } from "../../../worker/limits/lease.ts";
import { grant, NO_WINDOW, type RateWindow } from "../../../worker/limits/rate-window.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { Timeline } from "./timeline.ts";

export interface Plan {
  readonly seed: number;
  readonly quota: number;
  readonly isolates: number;
  /** Requests per second, over all isolates. */
  readonly perSecond: number;
  readonly forMs: number;
  /** Round trip to the object; each way varies by up to `jitter` of its half. */
  readonly tripMs: number;
  readonly jitter: number;
  /** Shares of messages. */
  readonly lost: number;
  readonly repeated: number;
  readonly slow: number;
  /** Restarts of the object, and steps of a clock, per second. */
  readonly restarts: number;
  readonly objectSteps: number;
  readonly isolateSteps: number;
  /** The longest time for which a request's clock stands still while it is worked on. */
  readonly lagMs: number;
  /** Requests arrive at equal intervals, or at random. */
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
export interface WindowRecord {
  granted: number;
  /** By the time of the admission; for a request that waited, by the time its token was granted. */
  admitted: number;
  requests: number;
  waited: number;
  leaseRequests: number;
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
  readonly leases: LeaseTable<Lease>;
}

/** A lease request on its way, with its sender. */
interface Flight {
  readonly clock: Clock;
  readonly lease: Lease;
  readonly pending: PendingLease;
}

export class Simulation {
  readonly windows = new Map<number, WindowRecord>();
  /** Tokens over all windows. */
  granted = 0;
  admitted = 0;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #events = new Timeline();
  readonly #objectClock: Clock;
  readonly #isolates: Isolate[];
  #window: RateWindow = NO_WINDOW;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new SeededRandom(plan.seed);
    this.#objectClock = new Clock(this.#random);
    this.#isolates = Array.from({ length: plan.isolates }, () => ({
      clock: new Clock(this.#random),
      leases: new LeaseTable(10, () => new Lease()),
    }));
  }

  run(): this {
    const { forMs, restarts, objectSteps, isolateSteps } = this.#plan;
    this.#events.add(0, (time) => this.#arrive(time));
    this.#repeat(restarts, (time) => {
      this.#window = NO_WINDOW;
      this.#record(time).restarts += 1;
    });
    this.#repeat(objectSteps, () => this.#objectClock.step(this.#stepMs()));
    this.#repeat(isolateSteps, () => this.#random.pick(this.#isolates).clock.step(this.#stepMs()));
    this.#events.runUntil(forMs);
    return this;
  }

  #repeat(perSecond: number, what: (time: number) => void): void {
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
    const { perSecond, even, quota, lagMs } = this.#plan;
    const gap = 1000 / perSecond;
    this.#events.add(time + (even ? gap : -Math.log(1 - this.#random.next()) * gap), (at) =>
      this.#arrive(at),
    );
    const { clock, leases } = this.#random.pick(this.#isolates);
    const now = clock.at(Math.max(0, time - this.#random.next() * lagMs));
    const lease = leases.at("key", now);
    this.#record(time).requests += 1;
    const availability = lease.availability(now);
    if (availability === "spent") return;
    if (availability === "none") {
      this.#record(time).waited += 1;
      this.#send(time, { clock, lease, pending: lease.request(now, quota) });
      return;
    }
    lease.take(now);
    this.#admit(time);
    const pending = lease.topUp(now, quota);
    if (pending !== null) this.#send(time, { clock, lease, pending });
  }

  #send(time: number, flight: Flight): void {
    this.#record(time).leaseRequests += 1;
    this.#deliver(time, (at) => this.#grant(at, flight));
  }

  #grant(time: number, flight: Flight): void {
    const limit = { quota: this.#plan.quota, windowMs: RATE_WINDOW_MS };
    const granted = grant(this.#window, limit, flight.pending, this.#objectClock.at(time));
    this.#window = granted.window;
    this.#record(time).granted += granted.grant.granted;
    this.granted += granted.grant.granted;
    this.#deliver(time, (at) => this.#receive(at, flight, granted.grant, time));
  }

  #receive(time: number, { clock, lease, pending }: Flight, answer: LeaseGrant, grantedAt: number): void {
    const now = clock.at(time);
    const isFirst = !pending.answered;
    if (lease.receive(pending, answer, now) !== null) this.#admit(grantedAt);
    else if (isFirst && pending.waiting > 0 && lease.availability(now) === "token") {
      lease.take(now);
      this.#admit(time);
    }
  }

  /** Delivers a message: once, not at all, or twice. */
  #deliver(time: number, what: (time: number) => void): void {
    const { lost, repeated } = this.#plan;
    for (let copy = this.#random.chance(repeated) ? 2 : 1; copy > 0; copy -= 1) {
      if (!this.#random.chance(lost)) this.#events.add(time + this.#oneWayMs(), what);
    }
  }

  #oneWayMs(): number {
    const { tripMs, jitter, slow } = this.#plan;
    if (this.#random.chance(slow)) return this.#random.below(1_900);
    return (tripMs / 2) * (1 + (this.#random.next() * 2 - 1) * jitter);
  }

  #admit(time: number): void {
    this.#record(time).admitted += 1;
    this.admitted += 1;
  }

  /** The record of the object's window at a moment. */
  #record(time: number): WindowRecord {
    const number = Math.floor((this.#objectClock.at(time) + this.#window.stepBackMs) / RATE_WINDOW_MS);
    const known = this.windows.get(number);
    if (known !== undefined) return known;
    const record = { granted: 0, admitted: 0, requests: 0, waited: 0, leaseRequests: 0, restarts: 0 };
    this.windows.set(number, record);
    return record;
  }
}
