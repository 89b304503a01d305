// Leases the slots of one llama-server to calls. A pure core: readings of `/slots` and the clock go in, leases come out.
// It sends nothing, polls nothing and never assumes that a slot is free.
//
// The numbers in comments refer to the decisions in design.md.
//
// A call that can be pinned to a slot (`id_slot`) takes exactly that slot (2). A call that can't be pinned, or that requests
// several answers, takes any slot that llama-server sees as idle, even one that is promised to a call still in flight.
// Such a call is therefore sent alone (5): after every earlier call has been seen on its slot, and with the server locked to
// others until `/slots` has shown its slots.
//
// Only the scope whose text is in a slot's cache may reuse the cache (6). A scope is therefore remembered only for a pinned
// call that ended well, and all scopes are forgotten as soon as another call may have used a slot: a foreign call, a call
// whose slot was never seen, or another agent process (`share`).
//
// | a lease            | event                                         | becomes                                   |
// | ------------------ | --------------------------------------------- | ----------------------------------------- |
// | none               | `acquire` with a free slot for each answer    | running; the server is locked if alone    |
// | running            | `finish`; `refused` with one answer           | over: its slots are free                  |
// | running            | `abandon`; `refused` with several answers     | awaiting a proof for each of its slots    |
// | awaiting           | the last of these proofs                      | over: reported in `proved`                |
// | running            | `forget`, or readings of other slots          | void: ends without effect                 |
// | awaiting           | the same                                      | over: the process took the call with it   |
// | running, locked    | seen on as many slots as it has answers; ends | running or over; the server is open again |
// | awaiting, locked   | no slot turns busy for 100 ms                 | awaiting or over; the server is open      |
import { CallSearch, goesAlone } from "./unpinned-call.ts";
import type { SlotReading } from "../probes/llama.ts";
import type { Finding, Slot } from "./slot.ts";
import {
  addUsage,
  type Observed,
  type ProvedEnd,
  type SlotCounts,
  type SlotLease,
  type SlotRequest,
  type SlotUsage,
  type StuckSlot,
  type Tenancy,
} from "./slot-lease.ts";
import { SlotSet, STUCK_MS } from "./slot-set.ts";

export class ServerSlots {
  #slots = new SlotSet([], 0);
  readonly #tenancies = new Map<SlotLease, Tenancy>();
  #search: CallSearch | null = null;
  #shared = false;
  /** Increases whenever everything remembered about caches becomes invalid. */
  #trust = 0;
  /** A call that must be sent alone was refused: the slots of the calls before it must be found. */
  #aloneWanted = false;
  #forgottenAt = -Infinity;

  /** Whether `/slots` must be polled now. The first reading of an unknown server is up to the caller. */
  get polling(): boolean {
    if (this.#search !== null || this.#slots.some("awaiting") || this.#slots.some("foreign")) return true;
    return this.#aloneWanted && !this.#slots.allLanded;
  }

  /** Number of slots; 0 while the server is unknown. */
  get total(): number {
    return this.#slots.all.length;
  }

  /** Number of slots that a pinned call can get now. */
  get available(): number {
    return this.#search === null ? this.#slots.free : 0;
  }

  /** Whether the cache of a slot that is free now holds this scope's text. */
  holdsCache(scope: string): boolean {
    return (
      this.#search === null &&
      this.#slots.all.some((slot) => slot.use.kind === "free" && slot.scope === scope)
    );
  }

  get counts(): SlotCounts {
    return { ...this.#slots.counts, locked: this.#search !== null };
  }

  /** What a running call has used so far; null if it was never seen on a slot, or its lease is void. */
  usageOf(lease: SlotLease): SlotUsage | null {
    const tenancy = this.#tenancies.get(lease);
    return tenancy === undefined ? null : this.#slots.usageOf(tenancy);
  }

  /**
   * Returns a lease, or null if too few slots are free, the server is locked, or the call must be sent alone and the
   * calls before it haven't been seen yet. In the last case `polling` turns true, and the call gets its lease after
   * one or two readings if it is the next to ask.
   */
  acquire(request: SlotRequest, now: number): SlotLease | null {
    const { scope, choices, pinned } = request;
    if (choices < 1 || this.available < choices) return null;
    const alone = goesAlone(request);
    if (alone && !this.#slots.allLanded) this.#aloneWanted = true;
    if (alone && !this.#slots.noneInFlight(now)) return null;

    const trusted = !this.#shared && !this.#slots.some("foreign");
    const reuses = alone || !trusted ? null : scope;
    const chosen = this.#slots.choose(reuses, choices);
    const [first] = chosen;
    if (first === undefined) return null;
    const lease = {
      slots: chosen.map(({ id }) => id),
      slot: pinned ? first.id : null,
      cachePrompt: reuses !== null && first.scope === reuses,
    };
    const trust = trusted ? this.#trust : null;
    const tenancy: Tenancy = {
      lease,
      request,
      trust,
      exact: true,
      abandonedAt: null,
      unproved: 0,
      usage: null,
    };
    for (const slot of chosen) slot.lease(tenancy, false, now);
    this.#tenancies.set(lease, tenancy);
    if (alone) {
      this.#search = new CallSearch(tenancy);
      this.#aloneWanted = false;
    }
    return lease;
  }

  /**
   * Frees the slots of a call whose answer ended successfully, immediately and without a reading (3). Only the slots of a
   * call that was sent alone and not seen yet need a proof.
   */
  finish(lease: SlotLease, now: number): void {
    this.#end(lease, now, true);
  }

  /**
   * Frees the slots of a call that llama-server answered with a complete error, or that never reached it. Unlike after
   * `finish`, the cache's contents are unknown: the task may have ended before it replaced the earlier text. If one of
   * several choices failed, the others may still run, so they are abandoned.
   */
  refused(lease: SlotLease, now: number): void {
    const tenancy = this.#tenancies.get(lease);
    if (tenancy !== undefined && tenancy.request.choices > 1) this.abandon(lease, now);
    else this.#end(lease, now, false);
  }

  /**
   * Records that the call was aborted or broke: its slots stay taken until they are provably idle (4).
   * @returns whether a proof will follow, from `observe` or `forget`; none follows for a void lease, nor for a call
   * after which another one has been seen on its slot.
   */
  abandon(lease: SlotLease, now: number): boolean {
    const tenancy = this.#tenancies.get(lease);
    if (tenancy === undefined) return false;
    this.#tenancies.delete(lease);
    tenancy.abandonedAt = now;
    for (const slot of this.#slots.of(tenancy)) this.#await(slot, tenancy, false, now);
    // If a foreign call may have been mistaken for it, it may not have reached any slot yet.
    if (!tenancy.exact && goesAlone(tenancy.request)) this.#search ??= new CallSearch(tenancy);
    if (this.#search?.tenancy === tenancy) {
      // It may appear late on any slot, so the lock outlives it.
      for (const slot of this.#search.seen) {
        if (slot.use.kind === "free") this.#await(slot, tenancy, true, now);
      }
      tenancy.unproved += 1;
    }
    return tenancy.unproved > 0;
  }

  /**
   * Resets everything because the server's process has exited: every lease is void until the next reading.
   * @returns the abandoned calls that ended with the process: a proof like any other.
   */
  forget(now: number): ProvedEnd[] {
    const ended = new Set<Tenancy>();
    for (const { use } of this.#slots.all) {
      if (use.kind === "awaiting" && use.tenancy !== null) ended.add(use.tenancy);
    }
    if (this.#search !== null) ended.add(this.#search.tenancy);
    const proved = [...ended].flatMap((tenancy) => {
      const { lease, abandonedAt } = tenancy;
      if (abandonedAt === null) return [];
      return [{ lease, usage: this.#slots.usageOf(tenancy), tookMs: now - abandonedAt }];
    });
    this.#slots = new SlotSet([], now);
    this.#tenancies.clear();
    this.#search = null;
    this.#aloneWanted = false;
    this.#forgottenAt = now;
    return proved;
  }

  /**
   * Sets whether another agent process may be leasing the same slots, for example while one of the two drains. During
   * that time no cache is reused, and nothing from that time is remembered.
   */
  share(shared: boolean): void {
    this.#shared = shared;
    if (shared) this.#distrust();
  }

  /**
   * Takes in a reading of `/slots`. The first one gives the number of slots; another number means another server. After
   * each reading, waiting calls may fit, because slots become free and locks end.
   * @param askedAt when the reading was requested: it doesn't cover later changes.
   */
  observe(readings: readonly SlotReading[], askedAt: number, now: number): Observed {
    if (askedAt <= this.#forgottenAt || readings.length === 0) return { freed: [], proved: [] };
    const proved: ProvedEnd[] = [];
    if (!this.#slots.fits(readings)) {
      proved.push(...this.forget(now));
      this.#slots = new SlotSet(readings, now);
    }
    const freed: number[] = [];
    let appeared = false;
    for (const reading of readings) {
      const slot = this.#slots.get(reading.id);
      if (slot === undefined) continue;
      const { use } = slot;
      const finding = slot.observe(reading, askedAt, now);
      if (finding === "proved" || finding === "freed") freed.push(slot.id);
      if (use.kind === "awaiting" && (finding === "proved" || finding === "replaced")) {
        this.#settle(use.tenancy, slot.usage, now, proved);
      }
      appeared = this.#follow(slot, finding, now) || appeared;
    }
    if (this.#slots.some("foreign")) this.#distrust();
    this.#unlock(appeared, askedAt, now, proved);
    if (this.#slots.allLanded) this.#aloneWanted = false;
    return { freed, proved };
  }

  /** Slots whose proof is overdue: they are reported, and may lead to a restart (stuck-slot-restart.ts). */
  stuck(now: number): StuckSlot[] {
    // While a call is being located, a slot that stays busy may be the one it is on.
    if (this.#search?.abandoned === false) return [];
    return this.#slots.all.flatMap(({ id, use }) => {
      if (use.kind !== "awaiting" || now - use.since <= STUCK_MS) return [];
      // If a foreign call may be running there, the server isn't at fault.
      return use.tenancy?.exact === false ? [] : [{ slot: id, forMs: now - use.since }];
    });
  }

  #end(lease: SlotLease, now: number, remember: boolean): void {
    const tenancy = this.#tenancies.get(lease);
    if (tenancy === undefined) return;
    this.#tenancies.delete(lease);
    const { request, trust, exact } = tenancy;
    if (this.#search?.tenancy === tenancy) {
      for (const slot of this.#search.seen) {
        if (slot.use.kind === "free") slot.await(null, { byTask: true, found: true }, now);
      }
      for (const slot of this.#slots.of(tenancy)) slot.await(null, { byTask: true, found: false }, now);
      this.#search = null;
      this.#doubt(now);
      return;
    }
    for (const slot of this.#slots.of(tenancy)) {
      const pinned = slot.id === lease.slot;
      const holds = remember && pinned && trust === this.#trust;
      if (exact) slot.free(holds ? request.scope : null, pinned && request.choices === 1, now);
      else slot.turnForeign(now);
    }
    if (!exact) this.#distrust();
  }

  /** Applies one slot's finding to the others. @returns whether the call being located may be there. */
  #follow(slot: Slot, finding: Finding, now: number): boolean {
    const search = this.#search;
    switch (finding) {
      case "nothing":
      case "proved":
      case "freed":
        return false;
      case "landed":
        if (search === null || !slot.isOf(search.tenancy)) return false;
        break;
      case "appeared":
        if (search === null) slot.turnForeign(now);
        break;
      case "passed":
        // A foreign call came and went: the scope of the slot's cache is unknown.
        if (search === null) this.#distrust();
        break;
      case "replaced":
        if (!this.#displace(slot, now)) return false;
        break;
    }
    if (search === null) return false;
    slot.scope = null;
    if (!search.abandoned) search.seen.add(slot);
    else this.#await(slot, search.tenancy, true, now);
    return true;
  }

  /** Handles another task that followed the one on this slot. @returns whether it may be the call being located. */
  #displace(slot: Slot, now: number): boolean {
    const { use } = slot;
    const foreign = this.#search === null || this.#slots.some("foreign");
    if (use.kind === "leased") {
      // If this was its end, the report is on its way; a foreign call may also have run before it.
      use.tenancy.exact = false;
      if (foreign) return false;
      use.tenancy.lease.slots = use.tenancy.lease.slots.filter((id) => id !== slot.id);
    }
    slot.turnForeign(now);
    return !foreign;
  }

  #unlock(appeared: boolean, askedAt: number, now: number, proved: ProvedEnd[]): void {
    const search = this.#search;
    if (search === null || !search.endsWith(appeared, askedAt, now)) return;
    this.#search = null;
    if (!search.abandoned) return search.settle(this.#slots, now);
    this.#doubt(now);
    this.#settle(search.tenancy, null, now, proved);
  }

  #await(slot: Slot, tenancy: Tenancy, found: boolean, now: number): void {
    // Several choices may begin one after another, and a task may belong to a foreign call.
    const byTask = tenancy.request.choices === 1 && tenancy.trust === this.#trust;
    slot.await(tenancy, { byTask, found }, now);
    tenancy.unproved += 1;
  }

  #settle(tenancy: Tenancy | null, usage: SlotUsage | null, now: number, proved: ProvedEnd[]): void {
    if (tenancy === null || tenancy.abandonedAt === null) return;
    tenancy.usage = addUsage(tenancy.usage, usage);
    tenancy.unproved -= 1;
    if (tenancy.unproved > 0) return;
    proved.push({ lease: tenancy.lease, usage: tenancy.usage, tookMs: now - tenancy.abandonedAt });
  }

  /**
   * Doubts every slot on which a call that was never seen may have run: free ones, and ones whose call has ended
   * although its end wasn't reported yet.
   */
  #doubt(now: number): void {
    this.#distrust();
    for (const slot of this.#slots.all) {
      if (slot.use.kind === "free" || slot.use.kind === "leased") slot.doubt(now);
    }
  }

  #distrust(): void {
    this.#trust += 1;
    this.#slots.forgetScopes();
  }
}
