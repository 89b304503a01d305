// The search for a call that went out alone: llama-server put it on slots of its own choice, and `/slots` must
// show which. While it lasts the server is locked (slots.ts); what it finds is kept here.
import { IDLE_PROOF_MS, type Slot } from "./slot.ts";
import type { SlotSet } from "./slot-set.ts";
import type { SlotRequest, Tenancy } from "./lease.ts";

/** A call that isn't pinned, or asks for several answers, takes whatever is idle in llama-server's eyes. */
export function goesAlone({ choices, pinned }: SlotRequest): boolean {
  return choices > 1 || !pinned;
}

export class CallSearch {
  readonly tenancy: Tenancy;
  /** Slots it has been seen on. */
  readonly seen = new Set<Slot>();
  /** Once it is abandoned: since when nothing new has turned up. */
  #quietSince: number | null = null;

  constructor(tenancy: Tenancy) {
    this.tenancy = tenancy;
  }

  get abandoned(): boolean {
    return this.tenancy.abandonedAt !== null;
  }

  /**
   * Whether this look ends the search: a live call's once it has been seen on as many slots as it asks for, an
   * abandoned one's once nothing new has turned up for as long as anything can.
   */
  endsWith(turnedUp: boolean, askedAt: number, now: number): boolean {
    const { abandonedAt, request } = this.tenancy;
    if (abandonedAt === null) return this.seen.size >= request.choices;
    if (askedAt <= abandonedAt) return false;
    if (turnedUp) this.#quietSince = now;
    this.#quietSince ??= now;
    return askedAt - this.#quietSince >= IDLE_PROOF_MS;
  }

  /** Gives the live call the slots it was seen on, and frees those that were put by for it. */
  settle(slots: SlotSet, now: number): void {
    const { tenancy, seen } = this;
    tenancy.exact = seen.size === tenancy.request.choices && !slots.some("foreign");
    for (const slot of slots.of(tenancy)) {
      // The slot it is pinned to is its own in any case.
      if (slot.id === tenancy.lease.slot && !seen.has(slot)) tenancy.exact = false;
      else if (!seen.has(slot)) slot.restore(now);
    }
    for (const slot of seen) {
      if (!slot.isOf(tenancy)) slot.lease(tenancy, true, now);
    }
    tenancy.lease.slots = slots.of(tenancy).map(({ id }) => id);
  }
}
