// What an isolate holds of all its keys' or addresses' leases: so many names at most, those that came longest ago
// forgotten first. Pure, its clock passed in.
import { LEASE_MARGIN_MS } from "../../shared/limits.ts";

/** A lease, or what holds one. */
interface Forgetful {
  forget(): void;
}

export class LeasePool<E extends Forgetful> {
  readonly #maxEntries: number;
  readonly #make: (now: number) => E;
  readonly #entries = new Map<string, E>();
  #latest = 0;

  /** @param maxEntries for how many names leases are held at once */
  constructor(maxEntries: number, make: (now: number) => E) {
    this.#maxEntries = maxEntries;
    this.#make = make;
  }

  /** How many names leases are held for. */
  get size(): number {
    return this.#entries.size;
  }

  /** What is held for a name; nothing yet, where it is new. */
  at(name: string, now: number): E {
    this.#watchClock(now);
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const made = this.#make(now);
    this.#entries.set(name, made);
    if (this.#entries.size > this.#maxEntries) this.#forgetOldest();
    return made;
  }

  /** What is held for a name, if anything is. */
  find(name: string): E | null {
    return this.#entries.get(name) ?? null;
  }

  /** Keeps a name from being forgotten before those that came after it. */
  touch(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  drop(name: string): void {
    this.#entries.delete(name);
  }

  #forgetOldest(): void {
    for (const name of this.#entries.keys()) {
      this.#entries.delete(name);
      return;
    }
  }

  /**
   * A clock that steps back would let leases live on after their window: all of them go. Requests whose time
   * stood still while others' went on may be behind by less than the margin.
   */
  #watchClock(now: number): void {
    if (now < this.#latest - LEASE_MARGIN_MS) for (const entry of this.#entries.values()) entry.forget();
    else if (now <= this.#latest) return;
    this.#latest = now;
  }
}
