// Whose call is next at one port, among those of one priority: start-time fair queueing in two levels, keys
// and, within a key, scopes. It orders who waits; it knows no slots, no ports and no time but its own.
//
// Each flow (a key; within a key, a scope) has a start tag: how much service it has had, in calls × slots, on
// a clock of virtual time. The flow with the lowest tag goes next, its tag moves on by what the call costs,
// and virtual time is the tag of whoever went last. A flow that begins to wait gets the later of virtual time
// and the tag it left with.
//
// Why this one: a newcomer's tag is virtual time itself, and a key that has sent 200 calls stands one call
// further on after its first, so the newcomer is behind at most one call of it, however long its backlog. An
// idle key's tag is raised to virtual time, so having been idle buys nothing. Two keys that both always have
// a call waiting are never further apart than what one call of each costs. It needs no rates and no knowledge
// of how long a call will take (deficit round robin needs a quantum as large as the largest call; weighted
// fair queueing must simulate an ideal server), and each step costs a heap's O(log n).
//
// A call costs its choices, the slots it takes. Its real time isn't charged: two calls of one model differ by
// what their clients ask, which is bounded by the model's cap; the promise is made in calls.
import { IndexedHeap } from "./indexed-heap.ts";

/** What is known of a waiting call where turns are given out. */
export interface FairCall {
  readonly keyId: string;
  readonly scope: string | null;
  /** Slots it takes: what its turn costs. */
  readonly choices: number;
  /** Rises with arrival; within one scope the earlier goes first. */
  readonly order: number;
}

/**
 * Flows a level remembers after they stopped waiting with a tag ahead of virtual time. One that falls out is
 * taken for new when it comes again, which is worth one call to it; without a bound, ten thousand patients
 * under one busy key would stay for ever.
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

  /** The call whose turn it is. */
  peek(): T | undefined {
    return this.#keys.first()?.scopes.first()?.calls.peek();
  }

  /** Whoever's turn it is counts as begun: who comes from now on can't get in before it. */
  hold(): void {
    this.#keys.hold();
    this.#keys.first()?.scopes.hold();
  }

  /** The call gets its turn here: its key and scope pay for it. */
  take(call: T): void {
    const key = this.#keys.find(call.keyId);
    const scope = key?.scopes.find(call.scope);
    if (key === undefined || scope === undefined) return;
    key.scopes.charge(scope, call.choices);
    this.#keys.charge(key, call.choices);
    this.remove(call);
  }

  /** The call has left, or was served elsewhere: nobody pays. */
  remove(call: T): void {
    const key = this.#keys.find(call.keyId);
    const scope = key?.scopes.find(call.scope);
    if (key === undefined || scope === undefined || !scope.calls.remove(call)) return;
    this.#size -= 1;
    if (scope.calls.size === 0) key.scopes.end(scope);
    if (key.scopes.size === 0) this.#keys.end(key);
  }
}

/** Somebody who takes turns. `start` is its tag while it waits, and what it leaves behind when it stops. */
class Flow {
  readonly name: string | null;
  start = 0;
  /** Among equal tags, who began to wait earlier. */
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
  /** Flows that wait no more and have had more than virtual time says. */
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
      // Nobody waits, so nobody can be wronged: all who come next begin alike.
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
