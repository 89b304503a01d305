// The slot books against a model of llama-server's slots: random calls, aborts, crashes and strangers, with
// the invariants hold at every millisecond.
import { describe, expect, it } from "vitest";
import { ServerSlots } from "../../../origin-agent/slots/slots.ts";
import type { SlotLease, SlotRequest } from "../../../origin-agent/slots/slot-lease.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { SlotServerModel, type ModelCall } from "../support/slot-server-model.ts";

const STEPS = 60_000;
const POLL_MS = 20;
const SCOPES = ["a", "a", "b", "c", null];

interface Held {
  readonly lease: SlotLease;
  readonly call: ModelCall;
}

class Run {
  readonly slots = new ServerSlots();
  readonly server: SlotServerModel;
  readonly seen = { leases: 0, reused: 0, proved: 0, late: 0, alone: 0, strangers: 0, deaths: 0, stuck: 0 };
  readonly #random: SeededRandom;
  readonly #total: number;
  #held: Held[] = [];
  #abandoned: Held[] = [];
  readonly #strangers = new Map<number, ModelCall | null>();
  #poll: {
    askedAt: number;
    shownAt: number;
    now: number;
    shown: ReturnType<SlotServerModel["readings"]>;
  } | null = null;
  #polledAt = -Infinity;
  #wanted: SlotRequest | null = null;
  #upAt = 0;

  constructor(seed: number, strangersAtFirst: boolean) {
    this.#random = new SeededRandom(seed);
    this.#total = 1 + this.#random.below(4);
    this.server = new SlotServerModel(this.#total, this.#random);
    if (strangersAtFirst) {
      for (let slot = 0; slot < this.#total; slot += 1) {
        if (slot === 0 || this.#random.chance(0.5)) this.#strangers.set(slot, null);
      }
      for (const slot of this.#strangers.keys()) this.#strangerCalls(slot, 0, slot === 0 ? STEPS / 4 : 200);
      for (let now = -10; now < 0; now += 1) this.server.tick(now);
    }
  }

  step(now: number, open: boolean): void {
    const wrong = this.server.tick(now);
    must(wrong.length === 0, wrong.join());
    this.#look(now);
    this.#hearEnds(now);
    this.#act(now, open);
    this.#strangersGoOn(now);
    this.#check(now);
  }

  get atRest(): boolean {
    const { total, free } = this.slots.counts;
    return total > 0 && free === total && this.#held.length === 0 && this.#abandoned.length === 0;
  }

  #look(now: number): void {
    const random = this.#random;
    if (this.#poll === null && now >= this.#upAt) {
      const due = this.slots.polling || this.slots.counts.total === 0 || random.chance(0.001);
      if (due && now >= this.#polledAt + POLL_MS) {
        const shownAt = now + random.below(3);
        this.#poll = { askedAt: now, shownAt, now: shownAt + random.below(3), shown: [] };
        this.#polledAt = now;
      }
    }
    if (this.#poll === null) return;
    if (now === this.#poll.shownAt) this.#poll.shown = this.server.readings();
    if (now < this.#poll.now) return;
    const { askedAt, shown } = this.#poll;
    this.#poll = null;
    const { freed, proved } = this.slots.observe(shown, askedAt, now);
    if (this.slots.available > 0) for (const slot of freed) this.#mustBeRid(slot, "free");
    this.#settle(proved.map(({ lease }) => lease));
    this.seen.stuck += this.slots.stuck(now).length > 0 ? 1 : 0;
  }

  #hearEnds(now: number): void {
    for (const call of this.server.told(now)) {
      const at = this.#held.findIndex((held) => held.call === call);
      const [held] = at < 0 ? [] : this.#held.splice(at, 1);
      if (held === undefined) continue;
      if (this.#random.chance(0.05)) {
        this.slots.refused(held.lease, now);
        if (held.call.choices > 1) this.#abandoned.push(held);
      } else this.slots.finish(held.lease, now);
    }
  }

  #act(now: number, open: boolean): void {
    const random = this.#random;
    if (open && random.chance(0.00005)) return this.#die(now);
    // Half of those who leave do so before their call can have reached its slot.
    const fresh = this.#held.filter(({ call }) => call.stage === "travelling");
    const leaving = random.chance(0.002) ? this.#held : random.chance(0.03) ? fresh : [];
    if (leaving.length > 0) this.#abandon(random.pick(leaving), now);
    if (!open || !random.chance(0.3)) return;
    // One that was turned away is the next to ask, as the queue will have it.
    this.#wanted ??= {
      scope: random.pick(SCOPES),
      choices: random.chance(0.06) ? Math.min(2, this.#total) : 1,
      pinned: !random.chance(0.06),
    };
    const request = this.#wanted;
    const lease = this.slots.acquire(request, now);
    if (lease === null) return;
    this.#wanted = null;
    const several = request.choices > 1;
    this.seen.leases += 1;
    this.seen.reused += Number(lease.cachePrompt);
    this.seen.alone += Number(several || !request.pinned);
    for (const slot of lease.slots) this.#mustBeRid(slot, "leased");
    const call = this.server.send(
      {
        name: `call ${this.seen.leases}`,
        scope: request.scope,
        pin: lease.slot,
        choices: request.choices,
        inTurn: several && request.pinned && random.chance(0.3),
        cachePrompt: lease.cachePrompt,
      },
      now,
    );
    this.#held.push({ lease, call });
  }

  #abandon(held: Held, now: number): void {
    if (held.call.stage === "travelling") this.seen.late += 1;
    this.#held = this.#held.filter((other) => other !== held);
    this.server.close(held.call, now);
    if (this.slots.abandon(held.lease, now)) this.#abandoned.push(held);
    else must(!this.#exact || held.call.stage === "over", "an end that need not be proved");
  }

  /** The process dies and comes back; connections to it break, and looks at it fail for a while. */
  #die(now: number): void {
    this.seen.deaths += 1;
    this.server.die();
    this.#poll = null;
    this.#upAt = now + 200;
    const ended = this.slots.forget(now).map(({ lease }) => lease);
    this.#settle(ended);
    must(this.#abandoned.length === 0, "the end of the process proves every abandoned call's");
    for (const { lease } of this.#held) must(!this.slots.abandon(lease, now), "a void lease awaits nothing");
    this.#held = [];
    this.#strangers.clear();
  }

  #settle(proved: readonly SlotLease[]): void {
    for (const lease of proved) {
      const at = this.#abandoned.findIndex((held) => held.lease === lease);
      must(at >= 0, "one proof for each call that was abandoned");
      const [ended] = this.#abandoned.splice(at, 1);
      this.seen.proved += 1;
      must(
        !this.#exact || ended?.call.stage === "over",
        `${ended?.call.name} is proved while ${ended?.call.stage}`,
      );
    }
  }

  /** With foreign calls, the owner of a task is unknown. */
  get #exact(): boolean {
    return this.#strangers.size === 0;
  }

  /** No call of ours whose lease is over is on the slot, nor may it yet be. */
  #mustBeRid(slot: number, as: string): void {
    for (const call of this.server.calls) {
      if (call.name.startsWith("stranger") || !this.server.mayBeOn(call, slot)) continue;
      const live = this.#held.some((held) => held.call === call);
      must(live, `slot ${slot} is ${as} while ${call.name} is ${call.stage}`);
    }
  }

  #strangersGoOn(now: number): void {
    for (const [slot, call] of this.#strangers) {
      if (call !== null && call.stage !== "over") continue;
      // The first outlives the others, so that while they come and go one is always to be seen.
      if (slot === 0 || now > STEPS / 4 - 1_000) this.#strangers.delete(slot);
      else if (this.#random.chance(0.1)) this.#strangerCalls(slot, now, 20 + this.#random.below(300));
    }
  }

  #strangerCalls(slot: number, now: number, runMs: number): void {
    this.seen.strangers += 1;
    const name = `stranger ${this.seen.strangers}`;
    const call = { name, scope: name, pin: slot, choices: 1, inTurn: false, cachePrompt: false };
    const sent = Object.assign(this.server.send(call, now), { runMs, landsAt: now < 1 ? -10 : now });
    this.#strangers.set(slot, sent);
  }

  #check(now: number): void {
    const taken = this.#held.flatMap(({ lease }) => lease.slots);
    must(!this.#exact || new Set(taken).size === taken.length, `a slot is leased twice at ${now}`);
    const { total, free, leased, awaiting, foreign } = this.slots.counts;
    must(free + leased + awaiting + foreign === total, "every slot is something");
    must(total === 0 || total === this.#total, "the number of slots stays");
    must(!this.#exact || leased === taken.length, `${leased} slots are leased, ${taken.length} held`);
  }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

describe("the slot books, against a model of llama-server's slots", () => {
  const all: Run["seen"][] = [];

  it.each(SEEDS.slice(0, 10).flatMap((seed) => [[seed, false] as const, [seed, true] as const]))(
    "lease no slot twice, none before its proof, and no cache across scopes (seed %i, strangers: %s)",
    (seed, strangers) => {
      const run = new Run(seed, strangers);
      let now = 1;
      for (; now <= STEPS; now += 1) run.step(now, true);
      // Everything that was let in comes to an end, and every slot comes back.
      for (; now <= STEPS + 20_000 && !run.atRest; now += 1) run.step(now, false);
      expect(run.atRest, "every slot came back").toBe(true);
      expect(run.slots.polling).toBe(false);
      all.push(run.seen);
    },
  );

  it("have met every kind of trouble in doing so", () => {
    const sum = (of: (seen: Run["seen"]) => number): number => all.reduce((all, seen) => all + of(seen), 0);
    for (const what of Object.keys(all[0] ?? {}) as (keyof Run["seen"])[]) {
      expect(
        sum((seen) => seen[what]),
        what,
      ).toBeGreaterThan(10);
    }
  });
});
