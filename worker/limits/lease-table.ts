// Leases by name, for up to `max` keys or addresses; the one used longest ago is evicted. Pure, the clock is passed in.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { LEASE_MARGIN_MS } from "../../shared/limits.ts";

export class LeaseTable<T> {
  readonly #entries: BoundedMap<string, T>;
  readonly #make: () => T;
  #latest = 0;

  constructor(max: number, make: () => T) {
    this.#entries = new BoundedMap(max);
    this.#make = make;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The name's entry; a new one if there is none. */
  at(name: string, now: number): T {
    this.#watchClock(now);
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const made = this.#make();
    this.#entries.set(name, made);
    return made;
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  /**
   * (12) After a step back of the clock, leases would live past their windows: all entries are dropped, and answers that
   * are still to come change entries that nothing reads. A request's clock stands still while it is worked on, so it
   * may lag behind another's by less than the margin.
   */
  #watchClock(now: number): void {
    if (now < this.#latest - LEASE_MARGIN_MS) this.#entries.clear();
    else if (now <= this.#latest) return;
    this.#latest = now;
  }
}
