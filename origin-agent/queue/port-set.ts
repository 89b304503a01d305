// Combines the ports that may serve one call: their queue places, a key's share of them, and the wait of a new call.
// Everything is read from the ports' own counts, in O(ports).
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

  /** Mean time between two slots that become free while all are busy, in milliseconds. */
  get turnMs(): number {
    return 1 / this.#sum((port) => port.slots / port.serviceMs);
  }

  /** The largest number of keys that take turns at one of the ports. */
  get keys(): number {
    return this.ports.reduce((most, port) => Math.max(most, port.placed.keys), 0);
  }

  /** Queue places that a key's calls take here. */
  placesOf(keyId: string): number {
    return this.#sum((port) => port.placed.callsOf(keyId));
  }

  /**
   * The port that gives a new call its place: the one with the most places left, so that calls for just one of the
   * ports find room. Null if there are no ports.
   */
  roomiest(): PortQueue<T> | null {
    let found: PortQueue<T> | null = null;
    for (const port of this.ports) {
      if (found === null || port.placesLeft > found.placesLeft) found = port;
    }
    return found;
  }

  /**
   * The longest wait of a new call, in milliseconds, if no other call arrives: from the work before it and the speed
   * of the ports, as if they were one. Exact for replicas; close enough if some waiting calls want just one of them.
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
