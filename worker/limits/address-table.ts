// All addresses an isolate knows of: many that only pass unasked, far fewer that hold a lease. Pure, its clock
// passed in.
import { HeldAddress } from "./address-state.ts";
import { LeasePool } from "./bounded-map.ts";

/** For how many addresses an isolate counts: 165 bytes each (test/limits/memory.test.ts), of 128 MiB. */
const MAX_ADDRESSES = 100_000;

/** How many of them hold a lease at a time: 1 KB each. */
const MAX_LEASES = 10_000;

export class HeldAddresses {
  readonly #all = new LeasePool<HeldAddress>(MAX_ADDRESSES, () => new HeldAddress());
  readonly #leased = new Set<HeldAddress>();

  get size(): number {
    return this.#all.size;
  }

  at(name: string, now: number): HeldAddress {
    return this.#all.at(name, now);
  }

  /** An address asks for a lease: those that asked longest ago lose theirs, and what it held is lost. */
  noteLease(name: string, address: HeldAddress): void {
    this.#all.touch(name);
    this.#leased.delete(address);
    this.#leased.add(address);
    for (const oldest of this.#leased) {
      if (this.#leased.size <= MAX_LEASES) return;
      oldest.dropLease();
      this.#leased.delete(oldest);
    }
  }
}
