// Who runs next, who waits, who is refused, for all ports of the box. What llama-server would hide in its own
// silent queue waits here. A pure core: the clock comes in, no timer, no I/O; it knows how many slots are
// free only as it is told, and starts nothing.
//
// Turns are given per port: keys of one priority, and scopes within a key, by start-time fair queueing (why:
// fair-queue.ts); high before normal before low, but a waiting call is passed over only so often
// (PASSED_OVER_MAX). A call that several ports may serve stands in the turns of each, as the equal of those
// that want just that port; the first port to take it takes it out of the others', where nobody pays for it.
//
// Every operation costs O(p log n) comparisons for n waiting calls and the p ports a call may use, expiry that
// much for each call that has expired, and estimates O(p).
import type { Priority } from "../../shared/fleet.ts";
import { QUEUE_PER_SLOT } from "../../shared/limits.ts";
import type { BacklogCall } from "./backlog.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import { PortQueue, SERVICE_PRIOR_MS } from "./port-queue.ts";
import { PortSet } from "./port-set.ts";

/** A call without a slot gives up this long after it came, milliseconds: more than anybody waits for a first word. */
export const QUEUE_DEADLINE_MS = 60_000;

/** Sets of ports that are counted by name in a snapshot; the rest is one sum. A fleet has one a model and a few strict ones. */
const PORT_SETS_SHOWN = 32;

/** What admission must know of a call. `ports` may all serve it; times are monotonic milliseconds. */
export interface AdmissionCall {
  /** Unique among the calls that wait. */
  readonly id: string;
  readonly keyId: string;
  readonly scope: string | null;
  readonly priority: Priority;
  readonly ports: readonly number[];
  /** Slots it needs at once. */
  readonly choices: number;
  readonly deadlineAt: number;
}

/**
 * Why a call is turned away. `key-share`: its key holds half of the places already. `full`: no place is free.
 * `too-long`: its turn would come after its queue deadline. `too-wide`: no port of it has so many slots.
 */
export type RefusalReason = "key-share" | "full" | "too-long" | "too-wide";

export type Offer =
  | { readonly kind: "queued"; readonly estimateMs: number }
  /** `retryAfterMs`: when the reason is expected to be gone; null where no waiting can help. Not jittered. */
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly retryAfterMs: number | null };

export interface AdmissionSnapshot {
  readonly queued: number;
  /** Keys that have a call waiting. */
  readonly keys: number;
  readonly byPriority: Readonly<Record<Priority, number>>;
  /** By the ports that may serve, as `8080,8082`; the last may be `other`. */
  readonly byPorts: Readonly<Record<string, number>>;
}

/** One port's queue as a newcomer without a history there finds it. */
export interface PortView {
  readonly waiting: number;
  readonly places: number;
  /** How long it would wait, milliseconds, by the free slots told last. */
  readonly newcomerMs: number;
}

export interface AdmissionSettings {
  /** Places for each slot. */
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
  /** Where its place is. */
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
  /** Out of the queue because their time was up, and not told of yet, with when it was. */
  readonly #overdue = new Map<string, number>();
  readonly #byPriority: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #byPortSet = new Map<string, number>();
  readonly #byKey = new Map<string, number>();
  #arrived = 0;

  constructor(settings: Partial<AdmissionSettings> = {}) {
    this.#settings = { queuePerSlot: QUEUE_PER_SLOT, queueDeadlineMs: QUEUE_DEADLINE_MS, ...settings };
  }

  /**
   * Tells how many slots a port has. A server that is loading or gone keeps what it had: its queue waits for
   * it. A smaller number puts nobody out; there is no room until enough have gone. A port that was never told
   * of serves nobody.
   */
  resize(port: number, slots: number): void {
    const known = this.#ports.get(port) ?? new PortQueue<Waiting<C>>(this.#settings.queuePerSlot);
    known.slots = slots;
    this.#ports.set(port, known);
  }

  /**
   * Takes a call in or turns it away, at once. One that is taken in stays until it is taken, leaves or expires.
   * @returns for a queued one at most how long it is expected to wait; 0 where a free slot is its own by turn.
   */
  offer(call: C, now: number): Offer {
    if (this.#waiting.has(call.id) || this.#overdue.has(call.id)) {
      throw new Error("a call of this id waits already");
    }
    const set = new PortSet(this.#portsFor(call));
    const home = set.roomiest();
    if (home === null) return { kind: "refused", reason: "too-wide", retryAfterMs: null };

    const { places, turnMs } = set;
    const held = set.heldBy(call.keyId);
    if (held * 2 >= places) {
      // Its own calls take turns with other keys' until it holds fewer than half.
      const over = held - Math.ceil(places / 2) + 1;
      return { kind: "refused", reason: "key-share", retryAfterMs: over * set.keys * turnMs };
    }
    if (home.placesLeft <= 0) return { kind: "refused", reason: "full", retryAfterMs: turnMs };

    const estimateMs = set.estimateMs(call);
    const expiresAt = Math.min(now + this.#settings.queueDeadlineMs, call.deadlineAt);
    const late = now + estimateMs - expiresAt;
    if (late > 0 || now >= expiresAt) {
      // Once so much is done, what is left fits before the same deadline.
      return { kind: "refused", reason: "too-long", retryAfterMs: Math.max(turnMs, late) };
    }
    this.#enter(call, set.ports, home, expiresAt);
    return { kind: "queued", estimateMs };
  }

  /**
   * Whether a call that finds slots of this port free may have them with no turn to wait for: nobody waits there, so
   * nobody can be wronged, and `offer`, `head` and `take` would come to the same. The caller then says `passed`.
   */
  mayPass(port: number, deadlineAt: number, now: number): boolean {
    this.#sweep(now);
    return now < deadlineAt && this.#ports.get(port)?.idle === true;
  }

  /** A call has taken `choices` of the port's free slots without having waited. */
  passed(port: number, choices: number, freeSlots: number): void {
    const queue = this.#ports.get(port);
    if (queue === undefined) return;
    queue.free = freeSlots;
    queue.occupy(choices);
  }

  /**
   * The call that should have a slot of this port, left where it is; the caller leases for it and then says
   * `take`. Null where nobody waits, or where the one whose turn it is needs more slots than are free: they
   * are held back for it until enough are, or it leaves or expires. Where the caller can't lease for it yet,
   * it asks again later and gives the slots to nobody else. Estimates go by the free slots told here last, so
   * a server that is gone is told of with 0.
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
      // The port has lost slots since; this call can never run here and must not stop those that can.
      queue.withdraw(waiting);
    }
  }

  /** A waiting call begins at this port: it is out of the queue, and its turn is paid for there. */
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

  /** The client has left: its place is free. @returns whether it was waiting. */
  leave(id: string): boolean {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) this.#remove(waiting);
    return this.#overdue.delete(id) || waiting !== undefined;
  }

  /** The calls whose queue deadline has come; they are out of the queue, and each is named once. */
  expire(now: number): string[] {
    this.#sweep(now);
    const ids = [...this.#overdue.keys()];
    this.#overdue.clear();
    return ids;
  }

  /** When `expire` has something to say next; null while nobody waits. */
  nextDeadline(): number | null {
    for (const expiredAt of this.#overdue.values()) return expiredAt;
    return this.#byDeadline.peek()?.expiresAt ?? null;
  }

  /** A call that held `choices` slots of a port for so long has ended well; the estimates go by it. */
  served(port: number, serviceMs: number, choices: number): void {
    this.#ports.get(port)?.served(serviceMs, choices);
  }

  /** How long a call holds a slot of this port, as measured lately. */
  serviceMs(port: number): number {
    return this.#ports.get(port)?.serviceMs ?? SERVICE_PRIOR_MS;
  }

  /** Null for a port that was never told of. */
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

  /** Nobody whose time is up may still be chosen, even where the timer that would say so is late. */
  #sweep(now: number): void {
    for (;;) {
      const first = this.#byDeadline.peek();
      if (first === undefined || first.expiresAt > now) return;
      this.#remove(first);
      this.#overdue.set(first.call.id, first.expiresAt);
    }
  }
}

/** A call like most, of a key that has none waiting. */
const NEWCOMER: BacklogCall = { keyId: "", scope: null, priority: "normal", choices: 1 };

/** A counter that isn't kept at nought, so that the names are bounded by those who wait. */
function count(counters: Map<string, number>, name: string, by: number): void {
  const after = (counters.get(name) ?? 0) + by;
  if (after > 0) counters.set(name, after);
  else counters.delete(name);
}
