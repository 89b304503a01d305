// The calls that one port may serve: whose turn it is there (priority first, then fair turns), how many places
// the port has for waiting, and how long its calls take. It starts nothing and refuses nobody.
import { PRIORITIES, type Priority } from "../../shared/fleet.ts";
import { Backlog, PASSED_OVER_MAX, type BacklogCall } from "./backlog.ts";
import { FairQueue, type FairCall } from "./fair-queue.ts";

export interface PortCall extends FairCall, BacklogCall {}

/** What a call is taken to need before the port's first has ended, milliseconds: the middle of the 2–10 s seen. */
export const SERVICE_PRIOR_MS = 5_000;

/**
 * The least weight a new measurement has in the estimate: about the last ten calls count, so that it follows
 * a change of traffic within a minute and one long answer doesn't turn callers away.
 */
const SERVICE_WEIGHT_MIN = 0.1;

/** Shortest and longest service time that is believed, milliseconds: the longest is a whole call's bound. */
const SERVICE_MS_MIN = 1;
const SERVICE_MS_MAX = 300_000;

export class PortQueue<T extends PortCall> {
  /** Calls whose place is here. A call that several ports may serve stands in all their turns, and has one place. */
  readonly placed = new Backlog();
  slots = 0;
  /** Free slots, as last told, less what was taken since. */
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

  /** How long one call holds a slot, milliseconds, by the calls that ended lately. */
  get serviceMs(): number {
    return this.#serviceMs;
  }

  get places(): number {
    return this.slots * this.#placesPerSlot;
  }

  /** Below nought where the port has lost slots. */
  get placesLeft(): number {
    return this.places - this.placed.calls;
  }

  /** Whether nobody waits for a slot of this port, wherever their place is. */
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

  /** The call whose turn it is, whether it fits or not; from now on nobody of its priority gets in before it. */
  head(): T | null {
    const priority = this.#turnOf();
    if (priority === null) return null;
    const queue = this.#turns[priority];
    queue.hold();
    return queue.peek() ?? null;
  }

  /** The call begins here: it pays for its turn, and lower priorities have been passed over once more. */
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

  /** Slots that were free are taken. */
  occupy(slots: number): void {
    this.free = Math.max(0, this.free - slots);
  }

  /**
   * A call that held `choices` slots for so long has ended. The first measurement weighs as much as the prior
   * it meets, each later one less, down to the least weight; a call of several choices is several measurements.
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
    // The lowest first: it has been passed over longest, and one turn of it is all it gets.
    const due = waiting.findLast((priority) => this.#passedOver[priority] >= PASSED_OVER_MAX[priority]);
    return due ?? waiting[0] ?? null;
  }

  /** Nobody is passed over where nobody waits. */
  #settle(priority: Priority): void {
    if (this.#turns[priority].size === 0) this.#passedOver[priority] = 0;
  }
}
