// Which of one llama-server's slots are whose. A pure core: readings of `/slots` and the clock come in, leases
// go out; it sends nothing, polls nothing and never guesses that a slot is free.
//
// A call that can be pinned to a slot (`id_slot`) takes exactly that one. One that can't, or that asks for
// several answers, takes whatever is idle in llama-server's eyes, also what is promised to a call still on its
// way. It therefore goes out alone: once every call before it has been seen on its slot, and with the server
// locked to others until `/slots` has shown where it went.
//
// A slot's cache may be read again only by the scope whose words are in it. So a scope is remembered only for a
// pinned call that ended well, and everything is forgotten as soon as anybody else may have used a slot: a
// stranger at work, a call whose slot was never seen, another agent process (`share`).
import { CallSearch, goesAlone } from "./unpinned-call.ts";
import type { Finding, Slot, SlotReading } from "./slot.ts";
import type { Observed, ProvedEnd, SlotCounts, SlotLease, SlotRequest, StuckSlot, Tenancy } from "./lease.ts";
import { SlotSet, STUCK_MS } from "./slot-set.ts";

export class ServerSlots {
  #slots = new SlotSet([], 0);
  readonly #tenancies = new Map<SlotLease, Tenancy>();
  #search: CallSearch | null = null;
  #shared = false;
  /** Rises whenever nothing that is remembered of caches holds any more. */
  #trust = 0;
  /** A call that must go out alone was turned away: the calls before it must be looked for. */
  #aloneWanted = false;
  #forgottenAt = -Infinity;

  /** Whether `/slots` must be polled now. Of a server nothing is known of, the first look is the caller's to take. */
  get polling(): boolean {
    if (this.#search !== null || this.#slots.some("awaiting") || this.#slots.some("foreign")) return true;
    return this.#aloneWanted && !this.#slots.allLanded;
  }

  /** Slots the server has; 0 while nothing is known of it. */
  get total(): number {
    return this.#slots.all.length;
  }

  /** Slots that a pinned call can have now. */
  get available(): number {
    return this.#search === null ? this.#slots.free : 0;
  }

  get counts(): SlotCounts {
    return { ...this.#slots.counts, locked: this.#search !== null };
  }

  /**
   * A lease, or null where there is none now: too few slots are free, the server is locked, or the call must
   * go out alone and those before it haven't been seen yet. In the last case `polling` turns true, and it
   * gets its lease after a look or two if it is the next to ask.
   */
  acquire(request: SlotRequest, now: number): SlotLease | null {
    const { scope, choices, pinned } = request;
    if (choices < 1 || this.available < choices) return null;
    const alone = goesAlone(request);
    if (alone && !this.#slots.allLanded) this.#aloneWanted = true;
    if (alone && !this.#slots.nobodyOnTheWay(now)) return null;

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
    const tenancy: Tenancy = { lease, request, trust, exact: true, abandonedAt: null, unproved: 0 };
    for (const slot of chosen) slot.lease(tenancy, false, now);
    this.#tenancies.set(lease, tenancy);
    if (alone) {
      this.#search = new CallSearch(tenancy);
      this.#aloneWanted = false;
    }
    return lease;
  }

  /**
   * The answer was a success and has come to its end: its slots are free at once, with no look. Only those of
   * a call that went out alone and wasn't seen yet must be proved.
   */
  finish(lease: SlotLease, now: number): void {
    this.#end(lease, now, true);
  }

  /**
   * llama-server answered with an error, whole, or was never reached. As `finish`, but what the slot's cache
   * holds is unknown: the task may have ended before it put its own words in the place of another's. Where
   * one of several choices failed the others may be at work, so those are abandoned.
   */
  refused(lease: SlotLease, now: number): void {
    const tenancy = this.#tenancies.get(lease);
    if (tenancy !== undefined && tenancy.request.choices > 1) this.abandon(lease, now);
    else this.#end(lease, now, false);
  }

  /**
   * The call was aborted, or broke: its slots stay taken until they are proved idle.
   * @returns whether a proof will follow, from `observe` or `forget`; none does for a lease that is void, nor
   * for a call that others have been seen to follow on its slot.
   */
  abandon(lease: SlotLease, now: number): boolean {
    const tenancy = this.#tenancies.get(lease);
    if (tenancy === undefined) return false;
    this.#tenancies.delete(lease);
    tenancy.abandonedAt = now;
    for (const slot of this.#slots.of(tenancy)) this.#await(slot, tenancy, false, now);
    // Where a stranger may have been taken for it, it may not have reached any slot yet.
    if (!tenancy.exact && goesAlone(tenancy.request)) this.#search ??= new CallSearch(tenancy);
    if (this.#search?.tenancy === tenancy) {
      // It may turn up late on any slot, so the lock outlives it.
      for (const slot of this.#search.seen) {
        if (slot.use.kind === "free") this.#await(slot, tenancy, true, now);
      }
      tenancy.unproved += 1;
    }
    return tenancy.unproved > 0;
  }

  /**
   * The server's process is gone. Every lease is void, and nothing is known until the next look.
   * @returns the abandoned calls that it took with it: a proof like any other.
   */
  forget(now: number): ProvedEnd[] {
    const ended = new Set<Tenancy>();
    for (const { use } of this.#slots.all) {
      if (use.kind === "awaiting" && use.tenancy !== null) ended.add(use.tenancy);
    }
    if (this.#search !== null) ended.add(this.#search.tenancy);
    this.#slots = new SlotSet([], now);
    this.#tenancies.clear();
    this.#search = null;
    this.#aloneWanted = false;
    this.#forgottenAt = now;
    return [...ended].flatMap(({ lease, abandonedAt }) =>
      abandonedAt === null ? [] : [{ lease, tookMs: now - abandonedAt }],
    );
  }

  /**
   * Another agent process of ours may be leasing the same slots, before or while one of the two drains: while
   * that is so nothing is reused, and nothing of that time is remembered.
   */
  share(shared: boolean): void {
    this.#shared = shared;
    if (shared) this.#distrust();
  }

  /**
   * What `/slots` shows. The first look tells how many slots there are, one with another number that it is
   * another server. After each, calls that wait may fit: slots come free, and locks end.
   * @param askedAt when it was asked for: a reading says nothing about what has changed since.
   */
  observe(readings: readonly SlotReading[], askedAt: number, now: number): Observed {
    if (askedAt <= this.#forgottenAt || readings.length === 0) return { freed: [], proved: [] };
    const proved: ProvedEnd[] = [];
    if (!this.#slots.fits(readings)) {
      proved.push(...this.forget(now));
      this.#slots = new SlotSet(readings, now);
    }
    const freed: number[] = [];
    let turnedUp = false;
    for (const reading of readings) {
      const slot = this.#slots.get(reading.id);
      if (slot === undefined) continue;
      const { use } = slot;
      const finding = slot.look(reading, askedAt, now);
      if (finding === "proved" || finding === "freed") freed.push(slot.id);
      if (use.kind === "awaiting" && (finding === "proved" || finding === "replaced")) {
        this.#settle(use.tenancy, now, proved);
      }
      turnedUp = this.#follow(slot, finding, now) || turnedUp;
    }
    if (this.#slots.some("foreign")) this.#distrust();
    this.#unlock(turnedUp, askedAt, now, proved);
    if (this.#slots.allLanded) this.#aloneWanted = false;
    return { freed, proved };
  }

  /** Slots whose proof is overdue: to be reported, and a reason to restart the server (restart-verdict.ts). */
  stuck(now: number): StuckSlot[] {
    // While a call is looked for, a slot that stays busy may well be where it is.
    if (this.#search?.abandoned === false) return [];
    return this.#slots.all.flatMap(({ id, use }) => {
      if (use.kind !== "awaiting" || now - use.since <= STUCK_MS) return [];
      // Where a stranger may be at work in its place, its call is no fault of the server's.
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

  /** What a look at one slot means for the others. @returns whether the call that is looked for may be there. */
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
        // A stranger came and went: whose words are in the slot is anybody's guess.
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

  /** Another task has followed the one on this slot. @returns whether it may be the call that is looked for. */
  #displace(slot: Slot, now: number): boolean {
    const { use } = slot;
    const strangers = this.#search === null || this.#slots.some("foreign");
    if (use.kind === "leased") {
      // Its end, if this was it, is on its way to us; a stranger may as well have gone before it.
      use.tenancy.exact = false;
      if (strangers) return false;
      use.tenancy.lease.slots = use.tenancy.lease.slots.filter((id) => id !== slot.id);
    }
    slot.turnForeign(now);
    return !strangers;
  }

  #unlock(turnedUp: boolean, askedAt: number, now: number, proved: ProvedEnd[]): void {
    const search = this.#search;
    if (search === null || !search.endsWith(turnedUp, askedAt, now)) return;
    this.#search = null;
    if (!search.abandoned) return search.settle(this.#slots, now);
    this.#doubt(now);
    this.#settle(search.tenancy, now, proved);
  }

  #await(slot: Slot, tenancy: Tenancy, found: boolean, now: number): void {
    // Several choices may begin one after another, and with strangers about a task seen may be theirs.
    const byTask = tenancy.request.choices === 1 && tenancy.trust === this.#trust;
    slot.await(tenancy, { byTask, found }, now);
    tenancy.unproved += 1;
  }

  #settle(tenancy: Tenancy | null, now: number, proved: ProvedEnd[]): void {
    if (tenancy === null || tenancy.abandonedAt === null) return;
    tenancy.unproved -= 1;
    if (tenancy.unproved === 0) proved.push({ lease: tenancy.lease, tookMs: now - tenancy.abandonedAt });
  }

  /**
   * A call that was never seen may have run on any slot: on a free one, and on one whose call is over though
   * its end has not been heard yet.
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
