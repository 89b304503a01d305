// Orders the calls that one port may serve (by priority, then by fair turns), counts the port's queue places and
// measures how long its calls take. It starts and refuses no call.
import { PRIORITIES, type Priority } from "../../shared/fleet.ts";
import { Backlog, PASSED_OVER_MAX, type BacklogCall } from "./backlog.ts";
import { FairQueue, type FairCall } from "./fair-queue.ts";

export interface PortCall extends FairCall, BacklogCall {}

/** Assumed service time before the port's first call has ended: the middle of the observed 2 to 10 s. */
export const SERVICE_PRIOR_MS = 5_000;

/**
 * Least weight of a new measurement in the estimate: about the last ten calls count, so that the estimate follows a
 * change of traffic within a minute and one long answer causes no refusals.
 */
const SERVICE_WEIGHT_MIN = 0.1;

/** Service times are clamped to this range; the maximum is the limit of a whole call. */
const SERVICE_MS_MIN = 1;
const SERVICE_MS_MAX = 300_000;

export class PortQueue<T extends PortCall> {
  /** Calls that take a queue place here. A call that several ports may serve is in all their orders, but takes one place. */
  readonly placed = new Backlog();
  slots = 0;
  /** The last reported number of free slots, minus those taken since. */
  free = 0;
  readonly #turns: Readonly<Record<Priority, FairQueue<T>>> = {
    high: new FairQueue<T>(),
    normal: new FairQueue<T>(),
    low: new FairQueue<T>(),
  };
  readonly #passedOver: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #placesPerSlot: number;
  #serviceMs = SERVICE_PRIOR_MS;
  #measured = 0;

  constructor(placesPerSlot: number) {
    this.#placesPerSlot = placesPerSlot;
  }

  /** How long one call uses a slot, by the calls that ended recently. */
  get serviceMs(): number {
    return this.#serviceMs;
  }

  get places(): number {
    return this.slots * this.#placesPerSlot;
  }

  /** Negative if the port has lost slots. */
  get placesLeft(): number {
    return this.places - this.placed.calls;
  }

  /** Whether no call waits for a slot of this port, at whichever port it takes its place. */
  get idle(): boolean {
    return this.#turns.high.size === 0 && this.#turns.normal.size === 0 && this.#turns.low.size === 0;
  }

  enter(call: T): void {
    this.#turns[call.priority].add(call);
  }

  withdraw(call: T): void {
    this.#turns[call.priority].remove(call);
    this.#settle(call.priority);
  }

  /** The next call, whether it fits or not; from now on no other call of its priority is placed before it. */
  head(): T | null {
    const priority = this.#turnOf();
    if (priority === null) return null;
    const queue = this.#turns[priority];
    queue.hold();
    return queue.peek() ?? null;
  }

  /** The call begins here: its key and scope are charged, and waiting lower priorities were overtaken once more. */
  take(call: T): void {
    const rank = PRIORITIES.indexOf(call.priority);
    this.#turns[call.priority].take(call);
    this.#passedOver[call.priority] = 0;
    for (const lower of PRIORITIES.slice(rank + 1)) {
      this.#passedOver[lower] += 1;
      this.#settle(lower);
    }
    this.occupy(call.choices);
  }

  /** Subtracts slots that were taken. */
  occupy(slots: number): void {
    this.free = Math.max(0, this.free - slots);
  }

  /**
   * Records the service time of a call that used `choices` slots. The first measurement weighs as much as the prior,
   * each later one less, down to the minimum; a call with several choices counts as several measurements.
   */
  served(serviceMs: number, choices: number): void {
    if (!Number.isFinite(serviceMs)) return;
    const believed = Math.min(Math.max(serviceMs, SERVICE_MS_MIN), SERVICE_MS_MAX);
    const weight = Math.max(1 / (this.#measured + 2), SERVICE_WEIGHT_MIN);
    this.#measured += 1;
    this.#serviceMs += (1 - (1 - weight) ** choices) * (believed - this.#serviceMs);
  }

  #turnOf(): Priority | null {
    const waiting = PRIORITIES.filter((priority) => this.#turns[priority].size > 0);
    // The lowest first: it has been overtaken longest, and it gets only one turn.
    const due = waiting.findLast((priority) => this.#passedOver[priority] >= PASSED_OVER_MAX[priority]);
    return due ?? waiting[0] ?? null;
  }

  /** Resets the count if no call of this priority waits. */
  #settle(priority: Priority): void {
    if (this.#turns[priority].size === 0) this.#passedOver[priority] = 0;
  }
}
