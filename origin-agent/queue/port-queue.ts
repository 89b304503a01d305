// Orders the calls that wait for one port and measures how long its calls take. It starts and refuses no call.
//
// The rule: the highest priority that waits goes first, but a lower one is passed over at most PASSED_OVER_MAX times.
// Within a priority, the key that was given the fewest slots goes next; within the key, the scope that was given the
// fewest; within the scope, the earliest call. A key or scope that begins to wait starts with the count of the one that
// had the last turn, or with its own if that is higher: it is behind at most one call of any other, and neither a pause
// nor a return earns a turn. A call that needs more slots than are free keeps the free ones until it has enough, leaves
// or expires. A call that several ports may serve waits at each of them as an equal, and counts only where it begins.
//
// Everything is found by a scan of the waiting calls, which are few: 16 places per slot.
import { PRIORITIES, type Priority } from "../../shared/fleet.ts";
import { Turns, type Flow } from "./turns.ts";

/**
 * How many turns a port gives to higher priorities before a waiting call goes first. With two slots and 5 s per call,
 * 16 turns take 40 s, so even a low-priority call starts within its queue deadline of 60 s, and higher priorities
 * keep at least 15 of 17 turns.
 */
export const PASSED_OVER_MAX: Readonly<Record<Priority, number>> = { high: Infinity, normal: 8, low: 16 };

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

export interface PortCall {
  readonly keyId: string;
  readonly scope: string | null;
  readonly priority: Priority;
  /** Slots it uses: the cost of its turn. */
  readonly choices: number;
}

interface Seat<T> {
  readonly call: T;
  /** Its arrival at the box. */
  readonly order: number;
  readonly key: Flow;
  readonly scope: Flow;
}

export class PortQueue<T extends PortCall> {
  readonly port: number;
  slots = 0;
  /** Calls that take a place here. A call that several ports may serve is in all their orders, but takes one place. */
  placed = 0;
  /** How long one call uses a slot, by the calls that ended recently. */
  serviceMs = SERVICE_PRIOR_MS;
  /** By arrival. */
  readonly #seats: Seat<T>[] = [];
  readonly #turns = { high: new Turns(), normal: new Turns(), low: new Turns() } as const;
  readonly #passedOver: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  #measured = 0;

  constructor(port: number) {
    this.port = port;
  }

  /** Whether no call waits for a slot of this port. */
  get idle(): boolean {
    return this.#seats.length === 0;
  }

  enter(call: T, order: number): void {
    const key = this.#turns[call.priority].enter(call.keyId);
    const seat = { call, order, key, scope: key.scopes.enter(call.scope) };
    // A call that was queued elsewhere keeps its place among those that arrived after it.
    const later = this.#seats.findIndex((other) => other.order > order);
    this.#seats.splice(later === -1 ? this.#seats.length : later, 0, seat);
  }

  /** Removes a call that has left or began elsewhere: no flow is charged. */
  withdraw(call: T): void {
    const at = this.#seats.findIndex((seat) => seat.call === call);
    const [seat] = at === -1 ? [] : this.#seats.splice(at, 1);
    if (seat === undefined) return;
    seat.key.scopes.leave(seat.scope);
    this.#turns[call.priority].leave(seat.key);
    if (!this.#waits(call.priority)) this.#passedOver[call.priority] = 0;
  }

  /** The next call, whether it fits or not; no call that begins to wait from now on is placed before it. */
  head(): T | null {
    const seat = this.#next();
    if (seat === null) return null;
    this.#turns[seat.call.priority].hold(seat.key);
    seat.key.scopes.hold(seat.scope);
    return seat.call;
  }

  /** The call begins here: its key and scope are charged, and waiting lower priorities were passed over once more. */
  take(call: T): void {
    const seat = this.#seats.find((other) => other.call === call);
    if (seat === undefined) return;
    const { priority, choices } = call;
    this.#turns[priority].charge(seat.key, choices);
    seat.key.scopes.charge(seat.scope, choices);
    this.#passedOver[priority] = 0;
    for (const lower of PRIORITIES.slice(PRIORITIES.indexOf(priority) + 1)) {
      if (this.#waits(lower)) this.#passedOver[lower] += 1;
    }
    this.withdraw(call);
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
    this.serviceMs += (1 - (1 - weight) ** choices) * (believed - this.serviceMs);
  }

  #next(): Seat<T> | null {
    const first: Partial<Record<Priority, Seat<T>>> = {};
    for (const seat of this.#seats) {
      const { priority, choices } = seat.call;
      // The port may have lost slots meanwhile: such a call must not block those that can run here.
      if (choices <= this.slots && precedes(seat, first[priority])) first[priority] = seat;
    }
    const waiting = PRIORITIES.filter((priority) => first[priority] !== undefined);
    // The lowest first: it has been passed over longest, and it gets only one turn.
    const due = waiting.findLast((priority) => this.#passedOver[priority] >= PASSED_OVER_MAX[priority]);
    const priority = due ?? waiting[0];
    return (priority === undefined ? undefined : first[priority]) ?? null;
  }

  #waits(priority: Priority): boolean {
    return this.#seats.some(({ call }) => call.priority === priority);
  }
}

/** Whether a call goes before the best of those that arrived before it. */
function precedes<T>(seat: Seat<T>, best: Seat<T> | undefined): boolean {
  if (best === undefined) return true;
  if (seat.key !== best.key) return seat.key.given < best.key.given;
  return seat.scope.given < best.scope.given;
}
