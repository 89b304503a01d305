// Locates a call that was sent alone: llama-server chose its slots, and readings of `/slots` must show which. The server
// is locked meanwhile (slots.ts).
import { IDLE_PROOF_MS, type Slot } from "./slot.ts";
import type { SlotSet } from "./slot-set.ts";
import type { SlotRequest, Tenancy } from "./slot-lease.ts";

/** Whether a call takes any slot that llama-server sees as idle: it isn't pinned, or requests several answers. */
export function goesAlone({ choices, pinned }: SlotRequest): boolean {
  return choices > 1 || !pinned;
}

export class CallSearch {
  readonly tenancy: Tenancy;
  /** Slots on which the call has been seen. */
  readonly seen = new Set<Slot>();
  /** For an abandoned call: when the time without a new slot began. */
  #quietSince: number | null = null;

  constructor(tenancy: Tenancy) {
    this.tenancy = tenancy;
  }

  get abandoned(): boolean {
    return this.tenancy.abandonedAt !== null;
  }

  /**
   * Whether this reading ends the search: for a live call, once it has been seen on as many slots as it requests; for an
   * abandoned one, once no new slot has appeared for IDLE_PROOF_MS.
   */
  endsWith(appeared: boolean, askedAt: number, now: number): boolean {
    const { abandonedAt, request } = this.tenancy;
    if (abandonedAt === null) return this.seen.size >= request.choices;
    if (askedAt <= abandonedAt) return false;
    if (appeared) this.#quietSince = now;
    this.#quietSince ??= now;
    return askedAt - this.#quietSince >= IDLE_PROOF_MS;
  }

  /** Gives the live call the slots on which it was seen, and frees those that were reserved for it. */
  settle(slots: SlotSet, now: number): void {
    const { tenancy, seen } = this;
    tenancy.exact = seen.size === tenancy.request.choices && !slots.some("foreign");
    for (const slot of slots.of(tenancy)) {
      // The slot to which it is pinned is its own in any case.
      if (slot.id === tenancy.lease.slot && !seen.has(slot)) tenancy.exact = false;
      else if (!seen.has(slot)) slot.restore(now);
    }
    for (const slot of seen) {
      if (!slot.isOf(tenancy)) slot.lease(tenancy, true, now);
    }
    tenancy.lease.slots = slots.of(tenancy).map(({ id }) => id);
  }
}
