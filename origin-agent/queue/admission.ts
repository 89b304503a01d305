// Admits calls, queues them and picks the next one, for all ports of the box. Calls that llama-server would hide in its
// own silent queue wait here. A pure core: the clock is passed in; it has no timer and no I/O, learns the number of
// free slots from its caller, and starts nothing.
//
// Each port has its own order: high priority before normal before low, but a call is overtaken by higher priorities
// only PASSED_OVER_MAX times. Within a priority, keys take turns, and within a key its scopes, by start-time fair
// queueing (fair-queue.ts gives the reasons). A call that several ports may serve is queued at each of them as an equal
// of the calls for that port alone; when one port takes it, it leaves the other queues, and no flow is charged there.
//
// Every operation costs O(p log n) comparisons for n waiting calls and the p ports a call may use; expiry costs that
// for each expired call, and an estimate O(p).
import type { Priority } from "../../shared/fleet.ts";
import { QUEUE_PER_SLOT } from "../../shared/limits.ts";
import type { BacklogCall } from "./backlog.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import { PortQueue, SERVICE_PRIOR_MS } from "./port-queue.ts";
import { PortSet } from "./port-set.ts";

/** A call without a slot is refused this long after its arrival: longer than a user waits for a first word. */
export const QUEUE_DEADLINE_MS = 60_000;

/** Sets of ports that a snapshot counts by name; the rest is one sum. A fleet has one per model and a few strict ones. */
const PORT_SETS_SHOWN = 32;

/** The part of a call that admission needs. Any of `ports` may serve it; times are monotonic milliseconds. */
export interface AdmissionCall {
  /** Unique among the waiting calls. */
  readonly id: string;
  readonly keyId: string;
  readonly scope: string | null;
  readonly priority: Priority;
  readonly ports: readonly number[];
  /** Slots that the call needs at the same time. */
  readonly choices: number;
  readonly deadlineAt: number;
}

/**
 * Why a call is refused. `key-share`: its key already has half of the places. `full`: no place is free.
 * `too-long`: its turn would come after its queue deadline. `too-wide`: none of its ports has that many slots.
 */
export type RefusalReason = "key-share" | "full" | "too-long" | "too-wide";

export type Offer =
  | { readonly kind: "queued"; readonly estimateMs: number }
  /** `retryAfterMs`: when the reason is expected to be gone; null if waiting can't help. Not jittered. */
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly retryAfterMs: number | null };

export interface AdmissionSnapshot {
  readonly queued: number;
  /** Keys with a waiting call. */
  readonly keys: number;
  readonly byPriority: Readonly<Record<Priority, number>>;
  /** By the ports that may serve the call, such as `8080,8082`; the last one may be `other`. */
  readonly byPorts: Readonly<Record<string, number>>;
}

/** One port's queue, as a key without waiting calls sees it. */
export interface PortView {
  readonly waiting: number;
  readonly places: number;
  /** How long its call would wait, in milliseconds, by the last known number of free slots. */
  readonly newcomerMs: number;
}

export interface AdmissionSettings {
  /** Queue places per slot. */
  readonly queuePerSlot: number;
  readonly queueDeadlineMs: number;
}

interface Waiting<C> {
  readonly call: C;
  readonly keyId: string;
  readonly scope: string | null;
  readonly priority: Priority;
  readonly choices: number;
  readonly order: number;
  readonly expiresAt: number;
  readonly ports: readonly PortQueue<Waiting<C>>[];
  /** The port whose queue place it takes. */
  readonly home: PortQueue<Waiting<C>>;
  readonly portSet: string;
}

export class Admission<C extends AdmissionCall = AdmissionCall> {
  readonly #settings: AdmissionSettings;
  readonly #ports = new Map<number, PortQueue<Waiting<C>>>();
  readonly #waiting = new Map<string, Waiting<C>>();
  readonly #byDeadline = new IndexedHeap<Waiting<C>>((one, other) =>
    one.expiresAt === other.expiresAt ? one.order < other.order : one.expiresAt < other.expiresAt,
  );
  /** Expired calls that `expire` has not returned yet, with the time of their expiry. */
  readonly #overdue = new Map<string, number>();
  readonly #byPriority: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #byPortSet = new Map<string, number>();
  readonly #byKey = new Map<string, number>();
  #arrived = 0;

  constructor(settings: Partial<AdmissionSettings> = {}) {
    this.#settings = { queuePerSlot: QUEUE_PER_SLOT, queueDeadlineMs: QUEUE_DEADLINE_MS, ...settings };
  }

  /**
   * Sets a port's number of slots. A server that is loading or down keeps its number: its queue waits for it. A
   * smaller number removes no waiting call; there is no room until enough of them have left. A port without a
   * number serves no call.
   */
  resize(port: number, slots: number): void {
    const known = this.#ports.get(port) ?? new PortQueue<Waiting<C>>(this.#settings.queuePerSlot);
    known.slots = slots;
    this.#ports.set(port, known);
  }

  /**
   * Queues or refuses a call immediately. A queued call stays until it is taken, leaves or expires.
   * @returns for a queued call, the longest expected wait; 0 if a free slot is its own by turn.
   */
  offer(call: C, now: number): Offer {
    if (this.#waiting.has(call.id) || this.#overdue.has(call.id)) {
      throw new Error("a call with this id is already waiting");
    }
    const set = new PortSet(this.#portsFor(call));
    const home = set.roomiest();
    if (home === null) return { kind: "refused", reason: "too-wide", retryAfterMs: null };

    const { places, turnMs } = set;
    const used = set.placesOf(call.keyId);
    if (used * 2 >= places) {
      // Its calls take turns with those of other keys until it has fewer than half of the places.
      const over = used - Math.ceil(places / 2) + 1;
      return { kind: "refused", reason: "key-share", retryAfterMs: over * set.keys * turnMs };
    }
    if (home.placesLeft <= 0) return { kind: "refused", reason: "full", retryAfterMs: turnMs };

    const estimateMs = set.estimateMs(call);
    const expiresAt = Math.min(now + this.#settings.queueDeadlineMs, call.deadlineAt);
    const late = now + estimateMs - expiresAt;
    if (late > 0 || now >= expiresAt) {
      // After that time, the remaining work fits before the same deadline.
      return { kind: "refused", reason: "too-long", retryAfterMs: Math.max(turnMs, late) };
    }
    this.#enter(call, set.ports, home, expiresAt);
    return { kind: "queued", estimateMs };
  }

  /**
   * Whether a call that finds free slots at this port may take them without queueing: no call waits there, so `offer`,
   * `head` and `take` would have the same result. The caller then calls `passed`.
   */
  mayPass(port: number, deadlineAt: number, now: number): boolean {
    this.#sweep(now);
    return now < deadlineAt && this.#ports.get(port)?.idle === true;
  }

  /** Records that a call has taken `choices` of the port's free slots without waiting. */
  passed(port: number, choices: number, freeSlots: number): void {
    const queue = this.#ports.get(port);
    if (queue === undefined) return;
    queue.free = freeSlots;
    queue.occupy(choices);
  }

  /**
   * Returns the call that gets the port's next slot and leaves it in the queue; the caller leases a slot for it and
   * then calls `take`. Returns null if no call waits, or if the next call needs more slots than are free: they stay
   * reserved until enough are free, or the call leaves or expires. A caller that can't lease yet asks again later
   * and gives the slots to no other call. Estimates use the last `freeSlots`, so a server that is down is reported
   * with 0.
   */
  head(port: number, freeSlots: number, now: number): C | null {
    this.#sweep(now);
    const queue = this.#ports.get(port);
    if (queue === undefined) return null;
    queue.free = freeSlots;
    for (;;) {
      const waiting = freeSlots > 0 ? queue.head() : null;
      if (waiting === null) return null;
      if (waiting.choices <= freeSlots) return waiting.call;
      if (waiting.choices <= queue.slots) return null;
      // The port has lost slots meanwhile; this call can never run here and must not block those that can.
      queue.withdraw(waiting);
    }
  }

  /** Takes a waiting call out of the queue because it begins at this port, and charges its key and scope there. */
  take(id: string, port: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#ports.get(port)?.take(waiting);
    this.#remove(waiting);
  }

  /** `head` and `take` in one. */
  next(port: number, freeSlots: number, now: number): C | null {
    const call = this.head(port, freeSlots, now);
    if (call !== null) this.take(call.id, port);
    return call;
  }

  /** Removes a call whose client has left. @returns whether it was waiting. */
  leave(id: string): boolean {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) this.#remove(waiting);
    return this.#overdue.delete(id) || waiting !== undefined;
  }

  /** Returns the calls whose queue deadline has passed, each one once; they have left the queue. */
  expire(now: number): string[] {
    this.#sweep(now);
    const ids = [...this.#overdue.keys()];
    this.#overdue.clear();
    return ids;
  }

  /** When `expire` next returns a call; null while no call waits. */
  nextDeadline(): number | null {
    for (const expiredAt of this.#overdue.values()) return expiredAt;
    return this.#byDeadline.peek()?.expiresAt ?? null;
  }

  /** Records how long a call that ended well used `choices` slots of a port; estimates use it. */
  served(port: number, serviceMs: number, choices: number): void {
    this.#ports.get(port)?.served(serviceMs, choices);
  }

  /** How long a call uses a slot of this port, by recent measurements. */
  serviceMs(port: number): number {
    return this.#ports.get(port)?.serviceMs ?? SERVICE_PRIOR_MS;
  }

  /** Null for a port without a number of slots. */
  portView(port: number): PortView | null {
    const queue = this.#ports.get(port);
    if (queue === undefined) return null;
    const newcomerMs = new PortSet([queue]).estimateMs(NEWCOMER);
    return { waiting: queue.placed.calls, places: queue.places, newcomerMs };
  }

  snapshot(): AdmissionSnapshot {
    const byPorts: Record<string, number> = {};
    let shown = 0;
    for (const [ports, count] of this.#byPortSet) {
      const name = shown++ < PORT_SETS_SHOWN ? ports : "other";
      byPorts[name] = (byPorts[name] ?? 0) + count;
    }
    return {
      queued: this.#waiting.size,
      keys: this.#byKey.size,
      byPriority: { ...this.#byPriority },
      byPorts,
    };
  }

  #portsFor(call: C): PortQueue<Waiting<C>>[] {
    const found: PortQueue<Waiting<C>>[] = [];
    for (const port of new Set(call.ports)) {
      const queue = this.#ports.get(port);
      if (queue !== undefined && queue.slots >= call.choices) found.push(queue);
    }
    return found;
  }

  #enter(
    call: C,
    ports: readonly PortQueue<Waiting<C>>[],
    home: PortQueue<Waiting<C>>,
    expiresAt: number,
  ): void {
    const { id, keyId, scope, priority, choices } = call;
    const portSet = [...new Set(call.ports)].sort((one, other) => one - other).join(",");
    const order = this.#arrived++;
    const waiting = { call, keyId, scope, priority, choices, order, expiresAt, ports, home, portSet };
    this.#waiting.set(id, waiting);
    this.#byDeadline.push(waiting);
    home.placed.add(waiting);
    for (const port of ports) port.enter(waiting);
    this.#byPriority[priority] += 1;
    count(this.#byPortSet, portSet, 1);
    count(this.#byKey, keyId, 1);
  }

  #remove(waiting: Waiting<C>): void {
    this.#waiting.delete(waiting.call.id);
    this.#byDeadline.remove(waiting);
    waiting.home.placed.remove(waiting);
    for (const port of waiting.ports) port.withdraw(waiting);
    this.#byPriority[waiting.priority] -= 1;
    count(this.#byPortSet, waiting.portSet, -1);
    count(this.#byKey, waiting.keyId, -1);
  }

  /** Removes expired calls, so that none is chosen even if the timer that calls `expire` is late. */
  #sweep(now: number): void {
    for (;;) {
      const first = this.#byDeadline.peek();
      if (first === undefined || first.expiresAt > now) return;
      this.#remove(first);
      this.#overdue.set(first.call.id, first.expiresAt);
    }
  }
}

/** A typical call of a key that has no other call waiting. */
const NEWCOMER: BacklogCall = { keyId: "", scope: null, priority: "normal", choices: 1 };

/** Counts by name; a counter at zero is deleted, so the number of names is bounded by the waiting calls. */
function count(counters: Map<string, number>, name: string, by: number): void {
  const after = (counters.get(name) ?? 0) + by;
  if (after > 0) counters.set(name, after);
  else counters.delete(name);
}
