// Orders the waiting calls of one priority at one port: start-time fair queueing in two levels, keys and, within a key,
// scopes. It knows no slots, no ports and no clock other than its virtual time.
//
// Each flow (a key; within a key, a scope) has a start tag: how much service it has had, in calls × slots, on
// a clock of virtual time. The flow with the lowest tag goes next, its tag moves on by what the call costs,
// and virtual time is the tag of the flow that went last. A flow that begins to wait gets the later of virtual
// time and the tag it left with.
//
// The reasons: a new flow's tag is virtual time itself, and a key that has sent 200 calls is one call further after
// its first, so the new flow is behind at most one call of it, however long its backlog. An
// idle key's tag is raised to virtual time, so having been idle gives no advantage. Two keys that both always have
// a call waiting are never further apart than the cost of one call of each. It needs no rates and no knowledge
// of how long a call will take (deficit round robin needs a quantum as large as the largest call; weighted
// fair queueing must simulate an ideal server), and each step costs a heap's O(log n).
//
// A call costs its choices, the slots it takes. Its real time isn't charged: two calls of one model differ only
// by their requests, which the model's cap bounds; the guarantee is stated in calls.
import { IndexedHeap } from "./indexed-heap.ts";

/** The part of a waiting call that the order depends on. */
export interface FairCall {
  readonly keyId: string;
  readonly scope: string | null;
  /** Slots it uses: the cost of its turn. */
  readonly choices: number;
  /** Grows with arrival; within one scope the earlier call goes first. */
  readonly order: number;
}

/**
 * Flows that a level remembers after they stopped waiting with a tag ahead of virtual time. A forgotten flow counts as
 * new when it returns, an advantage of one call; without a bound, ten thousand patients under one busy key would be
 * remembered indefinitely.
 */
const REMEMBERED_FLOWS = 256;

export class FairQueue<T extends FairCall> {
  readonly #keys = new FlowLevel<KeyFlow<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(call: T): void {
    const key = this.#keys.find(call.keyId) ?? this.#keys.begin(new KeyFlow<T>(call.keyId));
    const scope = key.scopes.find(call.scope) ?? key.scopes.begin(new ScopeFlow<T>(call.scope));
    scope.calls.push(call);
    this.#size += 1;
  }

  /** The next call. */
  peek(): T | undefined {
    return this.#keys.first()?.scopes.first()?.calls.peek();
  }

  /** Fixes the next call: calls that arrive from now on can't be placed before it. */
  hold(): void {
    this.#keys.hold();
    this.#keys.first()?.scopes.hold();
  }

  /** Takes a call out and charges its key and scope. */
  take(call: T): void {
    const key = this.#keys.find(call.keyId);
    const scope = key?.scopes.find(call.scope);
    if (key === undefined || scope === undefined) return;
    key.scopes.charge(scope, call.choices);
    this.#keys.charge(key, call.choices);
    this.remove(call);
  }

  /** Removes a call that has left or was served elsewhere, without a charge. */
  remove(call: T): void {
    const key = this.#keys.find(call.keyId);
    const scope = key?.scopes.find(call.scope);
    if (key === undefined || scope === undefined || !scope.calls.remove(call)) return;
    this.#size -= 1;
    if (scope.calls.size === 0) key.scopes.end(scope);
    if (key.scopes.size === 0) this.#keys.end(key);
  }
}

/** One that takes turns. `start` is its tag while it waits and after it stops. */
class Flow {
  readonly name: string | null;
  start = 0;
  /** Among equal tags, the flow that began to wait earlier goes first. */
  order = 0;

  constructor(name: string | null) {
    this.name = name;
  }
}

class ScopeFlow<T extends FairCall> extends Flow {
  readonly calls = new IndexedHeap<T>((one, other) => one.order < other.order);
}

class KeyFlow<T extends FairCall> extends Flow {
  readonly scopes = new FlowLevel<ScopeFlow<T>>();
}

/** The flows that share one clock of virtual time. */
class FlowLevel<F extends Flow> {
  readonly #waiting = new IndexedHeap<F>(startsBefore);
  readonly #byName = new Map<string | null, F>();
  /** Flows that no longer wait and have had more service than virtual time. */
  readonly #ahead = new IndexedHeap<Flow>(startsBefore);
  readonly #aheadByName = new Map<string | null, Flow>();
  #virtualTime = 0;
  #begun = 0;

  get size(): number {
    return this.#waiting.size;
  }

  find(name: string | null): F | undefined {
    return this.#byName.get(name);
  }

  first(): F | undefined {
    return this.#waiting.peek();
  }

  begin(flow: F): F {
    const left = this.#aheadByName.get(flow.name);
    if (left !== undefined) this.#forget(left);
    flow.start = Math.max(this.#virtualTime, left?.start ?? 0);
    flow.order = this.#begun++;
    this.#byName.set(flow.name, flow);
    this.#waiting.push(flow);
    return flow;
  }

  end(flow: F): void {
    this.#waiting.remove(flow);
    this.#byName.delete(flow.name);
    if (this.#waiting.size === 0) {
      // No flow waits, so none is treated unfairly if all later ones begin alike.
      this.#virtualTime = Math.max(this.#virtualTime, flow.start);
      this.#ahead.clear();
      this.#aheadByName.clear();
      return;
    }
    if (flow.start <= this.#virtualTime) return;
    const left = new Flow(flow.name);
    left.start = flow.start;
    left.order = flow.order;
    this.#ahead.push(left);
    this.#aheadByName.set(left.name, left);
    const least = this.#ahead.size > REMEMBERED_FLOWS ? this.#ahead.peek() : undefined;
    if (least !== undefined) this.#forget(least);
  }

  charge(flow: F, cost: number): void {
    this.#advance(flow.start);
    flow.start += cost;
    this.#waiting.update(flow);
  }

  hold(): void {
    this.#advance(this.first()?.start ?? 0);
  }

  #advance(to: number): void {
    this.#virtualTime = Math.max(this.#virtualTime, to);
    for (;;) {
      const least = this.#ahead.peek();
      if (least === undefined || least.start > this.#virtualTime) return;
      this.#forget(least);
    }
  }

  #forget(flow: Flow): void {
    this.#ahead.remove(flow);
    this.#aheadByName.delete(flow.name);
  }
}

function startsBefore(one: Flow, other: Flow): boolean {
  return one.start === other.start ? one.order < other.order : one.start < other.start;
}
