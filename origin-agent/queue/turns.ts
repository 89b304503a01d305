// Counts the slots given to those that take turns at one port: its keys and, within a key, its scopes. port-queue.ts
// states the rule and chooses the call.

/**
 * Counts that are kept of flows which no longer wait. A forgotten flow counts as new, an advantage of one call; without a
 * bound, ten thousand patients under one busy key would be remembered.
 */
const REMEMBERED_FLOWS = 256;

/** A key or a scope. */
export class Flow {
  readonly name: string | null;
  readonly scopes = new Turns();
  /** Slots it was given, counted from those that waited with it. */
  given = 0;
  /** Its waiting calls. */
  waiting = 0;

  constructor(name: string | null) {
    this.name = name;
  }
}

/** The flows of one port and priority, or the scopes of one key. */
export class Turns {
  readonly #flows = new Map<string | null, Flow>();
  /** The count of the flow that had the last turn. */
  #level = 0;
  #waiting = 0;

  /** Adds a waiting call. A flow that begins to wait gets no credit for the turns that it didn't want. */
  enter(name: string | null): Flow {
    const flow = this.#flows.get(name) ?? new Flow(name);
    if (flow.waiting === 0) flow.given = Math.max(flow.given, this.#level);
    this.#flows.set(name, flow);
    flow.waiting += 1;
    this.#waiting += 1;
    return flow;
  }

  /** Fixes the flow that is next: one that begins to wait from now on isn't placed before it. */
  hold(flow: Flow): void {
    this.#level = Math.max(this.#level, flow.given);
  }

  charge(flow: Flow, slots: number): void {
    this.hold(flow);
    flow.given += slots;
  }

  /** Removes a waiting call, for whatever reason. */
  leave(flow: Flow): void {
    flow.waiting -= 1;
    this.#waiting -= 1;
    if (this.#waiting === 0) {
      // No flow waits, so none is treated unfairly if all later ones begin alike.
      this.#flows.clear();
      this.#level = 0;
      return;
    }
    if (flow.waiting > 0) return;
    this.#flows.delete(flow.name);
    if (flow.given > this.#level) this.#remember(flow);
  }

  #remember(flow: Flow): void {
    this.#flows.set(flow.name, flow);
    const idle = [...this.#flows.values()].filter(({ waiting }) => waiting === 0);
    const [oldest] = idle;
    if (idle.length > REMEMBERED_FLOWS && oldest !== undefined) this.#flows.delete(oldest.name);
  }
}
