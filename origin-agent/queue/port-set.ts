// The ports that may serve one call, taken together: the places they have, what a key holds of them, and how
// long a newcomer waits. All of it is read from the ports' own counts, in O(ports).
import type { BacklogCall } from "./backlog.ts";
import type { PortCall, PortQueue } from "./port-queue.ts";

export class PortSet<T extends PortCall> {
  readonly ports: readonly PortQueue<T>[];

  constructor(ports: readonly PortQueue<T>[]) {
    this.ports = ports;
  }

  get places(): number {
    return this.#sum((port) => port.places);
  }

  /** Between two slots that come free, milliseconds, while all are at work. */
  get turnMs(): number {
    return 1 / this.#sum((port) => port.slots / port.serviceMs);
  }

  /** The most keys that take turns at one of the ports. */
  get keys(): number {
    return this.ports.reduce((most, port) => Math.max(most, port.placed.keys), 0);
  }

  /** Places that a key's calls have here. */
  heldBy(keyId: string): number {
    return this.#sum((port) => port.placed.callsOf(keyId));
  }

  /**
   * Where a newcomer's place is: the port with the most left, so that calls for just one of the ports find
   * room there. Null where there are no ports.
   */
  roomiest(): PortQueue<T> | null {
    let found: PortQueue<T> | null = null;
    for (const port of this.ports) {
      if (found === null || port.placesLeft > found.placesLeft) found = port;
    }
    return found;
  }

  /**
   * At most how long a newcomer waits, milliseconds, while nobody else comes: from what the ports have to do
   * before it and how fast they do it, as though they were one. Exact for replicas; near enough where some of
   * those who wait want just one of them.
   */
  estimateMs(call: BacklogCall): number {
    let ahead = 0;
    let free = 0;
    for (const port of this.ports) {
      const here = port.placed.ahead(call);
      if (here === 0 && port.free >= call.choices) return 0;
      ahead += here;
      free = Math.max(free, port.free);
    }
    return Math.max(1, ahead + call.choices - free) * this.turnMs;
  }

  #sum(of: (port: PortQueue<T>) => number): number {
    return this.ports.reduce((sum, port) => sum + of(port), 0);
  }
}
