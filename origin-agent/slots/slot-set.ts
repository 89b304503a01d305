// Holds the slots of one server: counts them by use, chooses free ones, and reports whether a call may still be on its
// way to one. It decides nothing about calls.
import type { SlotReading } from "../probes/llama.ts";
import { Slot, type SlotUse } from "./slot.ts";
import { addUsage, type SlotCounts, type SlotUsage, type Tenancy } from "./slot-lease.ts";

/** A slot without proof after this time is stuck (design 7): the slowest observed abort took 3 s. */
export const STUCK_MS = 5_000;

/** Slots read per server; a larger number is malformed, because real servers have 2 to 16. */
const MAX_SLOTS = 256;

export class SlotSet {
  readonly all: readonly Slot[];
  readonly #byId: ReadonlyMap<number, Slot>;

  /** @param readings the first reading of a server, one per slot. */
  constructor(readings: readonly SlotReading[], now: number) {
    this.all = readings
      .slice(0, MAX_SLOTS)
      .map(({ id, task }) => new Slot(id, task === null ? -Infinity : now));
    this.#byId = new Map(this.all.map((slot) => [slot.id, slot]));
  }

  get(id: number): Slot | undefined {
    return this.#byId.get(id);
  }

  /** Whether the readings can come from this server. */
  fits(readings: readonly SlotReading[]): boolean {
    const shown = readings.slice(0, MAX_SLOTS);
    return shown.length === this.all.length && shown.every(({ id }) => this.#byId.has(id));
  }

  get counts(): Omit<SlotCounts, "locked"> {
    const counts = { total: this.all.length, free: 0, leased: 0, awaiting: 0, foreign: 0 };
    for (const { use } of this.all) counts[use.kind] += 1;
    return counts;
  }

  get free(): number {
    let free = 0;
    for (const { use } of this.all) if (use.kind === "free") free += 1;
    return free;
  }

  some(kind: SlotUse["kind"]): boolean {
    return this.all.some(({ use }) => use.kind === kind);
  }

  /** The slots that serve a lease or await the proof of its end. */
  of(tenancy: Tenancy): Slot[] {
    return this.all.filter((slot) => slot.isOf(tenancy));
  }

  /** What a call has used on its slots so far, with those that it has left. */
  usageOf(tenancy: Tenancy): SlotUsage | null {
    return this.of(tenancy).reduce((sum, slot) => addUsage(sum, slot.usage), tenancy.usage);
  }

  /** Chooses free slots for a call: the one with its scope's cache, else those that lose least (empty first, then unused longest). */
  choose(scope: string | null, choices: number): Slot[] {
    let best: Slot | null = null;
    for (const slot of this.all) {
      if (slot.use.kind !== "free") continue;
      if (scope !== null && slot.scope === scope) return [slot];
      if (best === null || losesLess(slot, best) < 0) best = slot;
    }
    if (best === null || choices === 1) return best === null ? [] : [best];
    return this.all
      .filter(({ use }) => use.kind === "free")
      .sort(losesLess)
      .slice(0, choices);
  }

  /** Whether every leased call has been seen on its slot. */
  get allLanded(): boolean {
    return this.all.every(({ use }) => use.kind !== "leased" || use.landed);
  }

  /**
   * Whether no call, not even an abandoned one, may be on its way to a slot: a slot that turns busy now then serves
   * the call that is sent now. A stuck slot runs a known task, so another task on it would be recognised.
   */
  noneInFlight(now: number): boolean {
    const atWork = this.all.every(
      ({ use }) =>
        use.kind !== "awaiting" || (use.seen && use.idleSince === null && now - use.since > STUCK_MS),
    );
    return atWork && this.allLanded;
  }

  forgetScopes(): void {
    for (const slot of this.all) slot.scope = null;
  }
}

function losesLess(one: Slot, other: Slot): number {
  const cost = Number(one.scope !== null) - Number(other.scope !== null);
  if (cost !== 0) return cost;
  // -Infinity means never used; two of them must not be subtracted.
  return one.freeSince === other.freeSince ? one.id - other.id : one.freeSince < other.freeSince ? -1 : 1;
}
