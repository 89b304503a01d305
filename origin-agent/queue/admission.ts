// Admits calls, queues them and picks the next one, for all ports of the box. Calls that llama-server would hide in its
// own silent queue wait here, and so do calls that wait for a server to load. A pure core: the clock and the number of free
// slots are passed in; it has no timer and no I/O, and starts nothing. port-queue.ts has the rule of the turns.
//
// A call takes one place, at one of its ports. It is accepted or refused immediately; once accepted, only its deadline
// ends it. Each operation scans the waiting calls, of which there are at most as many as places.
import type { Priority } from "../../shared/fleet.ts";
import { QUEUE_PER_SLOT, QUEUE_SHARE_PER_KEY } from "../../shared/limits.ts";
import { PortQueue, SERVICE_PRIOR_MS, type PortCall } from "./port-queue.ts";
import { workAhead } from "./work-ahead.ts";

/** A call without a slot is refused this long after its arrival: longer than a user waits for a first word. */
export const QUEUE_DEADLINE_MS = 60_000;

/** The part of a call that admission needs. Any of `ports` may serve it; times are monotonic milliseconds. */
export interface AdmissionCall extends PortCall {
  /** Unique among the waiting calls. */
  readonly id: string;
  readonly ports: readonly number[];
  readonly deadlineAt: number;
  /** Whether it was admitted before and returns for another try: it isn't refused for load. */
  readonly admitted?: boolean;
}

/**
 * Why a call is refused. `key-share`: its key already has its share of the places. `full`: no place is free.
 * `too-long`: its turn would come after its queue deadline. `too-wide`: none of its ports has that many slots.
 */
export type RefusalReason = "key-share" | "full" | "too-long" | "too-wide";

export type Offer =
  | { readonly kind: "queued"; readonly estimateMs: number }
  /** `retryAfterMs`: when the reason is expected to be gone; null if waiting can't help. Not jittered. */
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly retryAfterMs: number | null };

/** One port's queue, as a key without waiting calls sees it. */
export interface PortView {
  readonly waiting: number;
  readonly places: number;
  /** How long its call would wait. */
  readonly newcomerMs: number;
}

export interface AdmissionSettings {
  /** Slots of a port that a call could get now; 0 for a server that is down. */
  readonly freeSlots: (port: number) => number;
  /** Queue places per slot. */
  readonly queuePerSlot: number;
  readonly queueDeadlineMs: number;
  /** The share of the places that one key may take, above 0 and up to 1. */
  readonly sharePerKey: number;
}

type Ports<C extends PortCall> = readonly PortQueue<C>[];

interface Waiting<C extends PortCall> {
  readonly call: C;
  readonly order: number;
  readonly expiresAt: number;
  ports: Ports<C>;
  /** The port whose place it takes. */
  home: PortQueue<C>;
}

export class Admission<C extends AdmissionCall = AdmissionCall> {
  readonly #settings: AdmissionSettings;
  readonly #ports = new Map<number, PortQueue<C>>();
  readonly #waiting = new Map<string, Waiting<C>>();
  /** Expired calls that `expire` has not returned yet. */
  readonly #overdue = new Set<string>();
  #arrived = 0;

  constructor(settings: Partial<AdmissionSettings> & Pick<AdmissionSettings, "freeSlots">) {
    this.#settings = {
      queuePerSlot: QUEUE_PER_SLOT,
      queueDeadlineMs: QUEUE_DEADLINE_MS,
      sharePerKey: QUEUE_SHARE_PER_KEY,
      ...settings,
    };
  }

  /**
   * Sets a port's number of slots. A server that is loading or down keeps its number: its queue waits for it. A
   * smaller number removes no waiting call; there is no room until enough of them have left. A port without a
   * number serves no call.
   */
  resize(port: number, slots: number): void {
    const known = this.#ports.get(port) ?? new PortQueue<C>(port);
    known.slots = slots;
    this.#ports.set(port, known);
  }

  /**
   * Queues or refuses a call immediately. A queued call stays until it is taken, leaves or expires.
   * @param loadMs time until its first server is up; 0 if one is.
   * @returns for a queued call, the longest expected wait; 0 if a free slot is its own by turn.
   */
  offer(call: C, now: number, loadMs = 0): Offer {
    if (this.#waiting.has(call.id) || this.#overdue.has(call.id)) {
      throw new Error("a call with this id is already waiting");
    }
    const ports = this.#portsFor(call, call.ports);
    const home = this.#roomiest(ports);
    if (home === null) return { kind: "refused", reason: "too-wide", retryAfterMs: null };
    const expiresAt = Math.min(now + this.#settings.queueDeadlineMs, call.deadlineAt);
    const estimateMs = loadMs + this.#estimateMs(call, ports);
    const refused = call.admitted === true ? null : this.#refusal(call, ports);
    if (refused !== null) {
      return { kind: "refused", reason: refused.reason, retryAfterMs: loadMs + refused.retryAfterMs };
    }
    const late = now + estimateMs - expiresAt;
    if (now >= expiresAt || (late > 0 && call.admitted !== true)) {
      // After that time, the remaining work fits before the same deadline.
      return { kind: "refused", reason: "too-long", retryAfterMs: Math.max(loadMs, turnMs(ports), late) };
    }
    const order = this.#arrived++;
    this.#waiting.set(call.id, { call, order, expiresAt, ports, home });
    home.placed += 1;
    for (const port of ports) port.enter(call, order);
    return { kind: "queued", estimateMs };
  }

  /** Lets a waiting call wait for other ports instead; it keeps its arrival and its deadline, and is never refused. */
  move(id: string, ports: readonly number[]): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const { call, order } = waiting;
    const others = this.#portsFor(call, ports);
    for (const port of waiting.ports) if (!others.includes(port)) port.withdraw(call);
    for (const port of others) if (!waiting.ports.includes(port)) port.enter(call, order);
    waiting.ports = others;
    if (others.includes(waiting.home)) return;
    waiting.home.placed -= 1;
    waiting.home = this.#roomiest(others) ?? waiting.home;
    waiting.home.placed += 1;
  }

  /** Whether a call may take free slots of this port without queueing: no call waits there. */
  mayPass(port: number, { choices, deadlineAt }: Pick<C, "choices" | "deadlineAt">, now: number): boolean {
    this.#sweep(now);
    const isIdle = this.#ports.get(port)?.idle === true;
    return isIdle && now < deadlineAt && choices <= this.#settings.freeSlots(port);
  }

  /**
   * Returns the call that gets the port's next slot and leaves it in the queue; the caller leases a slot for it and
   * then calls `take`. Returns null if no call waits, or if the next call needs more slots than are free: they stay
   * reserved until enough are free, or the call leaves or expires. A caller that can't lease yet asks again later
   * and gives the slots to no other call.
   */
  head(port: number, now: number): C | null {
    this.#sweep(now);
    const free = this.#settings.freeSlots(port);
    const next = free > 0 ? this.#ports.get(port)?.head() : null;
    return next != null && next.choices <= free ? next : null;
  }

  /** Takes a waiting call out of the queue because it begins at this port, and charges its key and scope there. */
  take(id: string, port: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#ports.get(port)?.take(waiting.call);
    this.#remove(waiting);
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
    const ids = [...this.#overdue];
    this.#overdue.clear();
    return ids;
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
    const newcomerMs = this.#estimateMs(NEWCOMER, [queue]);
    return { waiting: queue.placed, places: this.#places([queue]), newcomerMs };
  }

  /**
   * A waiting call's place, counted over the ports that may serve it, and the longest expected rest of its wait if no
   * other call arrives; null if it doesn't wait.
   */
  waitOf(id: string): { readonly place: number; readonly aboutMs: number } | null {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return null;
    const { call, order, ports } = waiting;
    const earlier = [...this.#waiting.values()].filter(
      (other) => other.order < order && other.ports.some((port) => ports.includes(port)),
    );
    const ahead = workAhead(
      call,
      earlier.map((other) => other.call),
    );
    const free = Math.max(0, ...ports.map(({ port }) => this.#settings.freeSlots(port)));
    const aboutMs = Math.max(1, ahead + call.choices - free) * turnMs(ports);
    return { place: Math.min(ahead, earlier.length) + 1, aboutMs };
  }

  /** Counts the waiting calls. */
  waiting(): Readonly<Record<Priority, number>> {
    const counts = { high: 0, normal: 0, low: 0 };
    for (const { call } of this.#waiting.values()) counts[call.priority] += 1;
    return counts;
  }

  #refusal(
    call: C,
    ports: Ports<C>,
  ): { readonly reason: "key-share" | "full"; readonly retryAfterMs: number } | null {
    const placed = this.#placed(ports);
    const share = this.#places(ports) * this.#settings.sharePerKey;
    const used = placed.filter(({ keyId }) => keyId === call.keyId).length;
    if (used >= share) {
      // Its calls take turns with those of other keys until it has room again.
      const keys = new Set(placed.map(({ keyId }) => keyId)).size;
      const over = used - Math.ceil(share) + 1;
      return { reason: "key-share", retryAfterMs: over * keys * turnMs(ports) };
    }
    const isFull = ports.every((port) => this.#placesLeft(port) <= 0);
    return isFull ? { reason: "full", retryAfterMs: turnMs(ports) } : null;
  }

  /**
   * The longest wait of a new call if no other call arrives: from the work before it and the speed of the ports, as if
   * they were one. Exact for replicas; close enough if some waiting calls want just one of them.
   */
  #estimateMs(call: PortCall, ports: Ports<C>): number {
    const free = ports.map(({ port }) => this.#settings.freeSlots(port));
    const isNext = (port: PortQueue<C>): boolean => workAhead(call, this.#placed([port])) === 0;
    if (ports.some((port, at) => (free[at] ?? 0) >= call.choices && isNext(port))) return 0;
    const work = workAhead(call, this.#placed(ports)) + call.choices - Math.max(...free);
    return Math.max(1, work) * turnMs(ports);
  }

  #portsFor({ choices }: PortCall, ports: readonly number[]): Ports<C> {
    const found = [...new Set(ports)].flatMap((port) => this.#ports.get(port) ?? []);
    return found.filter(({ slots }) => slots >= choices);
  }

  /**
   * The port that gives a new call its place: the one with the most places left, so that calls for just one of the
   * ports find room. Null if there are no ports.
   */
  #roomiest(ports: Ports<C>): PortQueue<C> | null {
    let found: PortQueue<C> | null = null;
    for (const port of ports) {
      if (found === null || this.#placesLeft(port) > this.#placesLeft(found)) found = port;
    }
    return found;
  }

  /** Negative if the port has lost slots. */
  #placesLeft(port: PortQueue<C>): number {
    return this.#places([port]) - port.placed;
  }

  #places(ports: Ports<C>): number {
    return ports.reduce((sum, { slots }) => sum + slots * this.#settings.queuePerSlot, 0);
  }

  /** The calls that take a place at one of the ports. */
  #placed(ports: Ports<C>): C[] {
    return [...this.#waiting.values()].flatMap(({ home, call }) => (ports.includes(home) ? call : []));
  }

  #remove({ call, home, ports }: Waiting<C>): void {
    this.#waiting.delete(call.id);
    home.placed -= 1;
    for (const port of ports) port.withdraw(call);
  }

  /** Removes expired calls, so that none is chosen even if the timer that calls `expire` is late. */
  #sweep(now: number): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.expiresAt > now) continue;
      this.#remove(waiting);
      this.#overdue.add(waiting.call.id);
    }
  }
}

/** Mean time between two slots that become free while all are busy, in milliseconds. */
function turnMs(ports: readonly Pick<PortQueue<PortCall>, "slots" | "serviceMs">[]): number {
  return 1 / ports.reduce((sum, { slots, serviceMs }) => sum + slots / serviceMs, 0);
}

/** A typical call of a key that has no other call waiting. */
const NEWCOMER: PortCall = { keyId: "", scope: null, priority: "normal", choices: 1 };
