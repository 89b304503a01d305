// Runs admission under random traffic: a box of three ports that starts the calls it is given. Checks the invariants
// at every step and every call's result.
import { describe, expect, it } from "vitest";
import { QUEUE_DEADLINE_MS, type AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";
import { PRIORITIES, type Priority } from "../../../shared/fleet.ts";
import { QUEUE_PER_SLOT } from "../../../shared/limits.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { TestAdmission } from "../support/test-admission.ts";

const STEPS = 20_000;
const SLOTS: ReadonlyMap<number, number> = new Map([
  [8080, 2],
  [8082, 2],
  [8084, 4],
]);
const PORT_SETS = [[8080], [8082], [8080, 8082], [8084], [8080, 8082, 8084], [9999, 8080]];

interface Known {
  readonly call: AdmissionCall;
  readonly offeredAt: number;
  readonly expiresAt: number;
  /** Those of the call, or those to which it has moved. */
  ports: readonly number[];
}

interface Running {
  readonly call: AdmissionCall;
  readonly port: number;
  readonly since: number;
  readonly endsAt: number;
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const placesOf = (ports: readonly number[]): number =>
  ports.reduce((sum, port) => sum + QUEUE_PER_SLOT * (SLOTS.get(port) ?? 0), 0);

class Box {
  readonly admission = new TestAdmission();
  /** Waiting calls by id. */
  readonly known = new Map<string, Known>();
  /** The results of the others. */
  readonly fates = { served: 0, left: 0, expired: 0 };
  readonly refused = { full: 0, "key-share": 0, "too-long": 0, "too-wide": 0 };
  #running: Running[] = [];
  readonly #random: SeededRandom;
  /** Whether waiting calls move to other ports: those keep more calls than places. */
  readonly #moves: boolean;
  #now = 0;

  constructor(seed: number, moves: boolean) {
    this.#random = new SeededRandom(seed);
    this.#moves = moves;
    for (const [port, slots] of SLOTS) this.admission.resize(port, slots);
  }

  get waiting(): Known[] {
    return [...this.known.values()];
  }

  #ended(known: Known, fate: keyof Box["fates"]): void {
    this.known.delete(known.call.id);
    this.fates[fate] += 1;
  }

  step(busy: boolean): void {
    const random = this.#random;
    this.#now += random.below(random.chance(0.01) ? 20_000 : 120);
    this.#end();
    if (busy) for (let at = random.below(4); at > 0; at -= 1) this.#offer();
    if (random.chance(0.1)) this.#leave();
    if (this.#moves && random.chance(0.3)) this.#move();
    // The deadline timer may be late; even then no call may start after its deadline.
    if (random.chance(0.5)) this.#expire();
    for (const port of random.shuffled([...SLOTS.keys()])) this.#dispatch(port);
    this.#check();
  }

  #offer(): void {
    const random = this.#random;
    const call: AdmissionCall = {
      id: `call ${this.known.size} ${random.next()}`,
      keyId: random.chance(0.5) ? "hog" : `key ${random.below(6)}`,
      scope: random.chance(0.5) ? null : `scope ${random.below(3)}`,
      priority: random.chance(0.7) ? "normal" : random.pick(PRIORITIES),
      ports: random.pick(PORT_SETS),
      choices: random.chance(0.15) ? 1 + random.below(4) : 1,
      deadlineAt: this.#now + (random.chance(0.2) ? random.below(20_000) : 300_000),
    };
    const before = this.admission.queued;
    const { held, places } = this.#share(call);
    const offer = this.admission.offer(call, this.#now);
    if (offer.kind === "refused") {
      this.refused[offer.reason] += 1;
      const { retryAfterMs } = offer;
      must(
        offer.reason === "too-wide" || (retryAfterMs ?? 0) > 0,
        "a refusal for load says when to ask again",
      );
      must(retryAfterMs === null || Number.isFinite(retryAfterMs), "and that is some time");
      must(this.admission.queued === before, "a refused call takes no place");
      return;
    }
    must(call.choices > 1 || held * 2 < places, `a key with ${held} of ${places} places gets another`);
    const expiresAt = Math.min(this.#now + QUEUE_DEADLINE_MS, call.deadlineAt);
    must(this.#now + offer.estimateMs <= expiresAt, "who is taken in may hope to be served in time");
    this.known.set(call.id, { call, offeredAt: this.#now, expiresAt, ports: call.ports });
  }

  /** The places of its ports that a call's key surely uses. */
  #share(call: AdmissionCall): { readonly held: number; readonly places: number } {
    const held = this.waiting.filter(
      (other) =>
        other.call.keyId === call.keyId &&
        other.expiresAt > this.#now &&
        other.ports.every((port) => call.ports.includes(port)),
    );
    return { held: held.length, places: placesOf(call.ports) };
  }

  #leave(): void {
    const { waiting } = this;
    const known = waiting.length > 0 ? this.#random.pick(waiting) : undefined;
    if (known === undefined) return;
    must(this.admission.leave(known.call.id), "who waits may leave");
    must(!this.admission.leave(known.call.id), "and leaves once");
    this.#ended(known, "left");
  }

  #move(): void {
    const { waiting } = this;
    const known = waiting.length > 0 ? this.#random.pick(waiting) : undefined;
    const ports = this.#random.pick(PORT_SETS);
    const fits = ports.some((port) => (SLOTS.get(port) ?? 0) >= (known?.call.choices ?? Infinity));
    if (known === undefined || !fits) return;
    this.admission.move(known.call.id, ports);
    known.ports = ports;
  }

  #expire(): void {
    const due = this.waiting.filter(({ expiresAt }) => expiresAt <= this.#now);
    const expired = this.admission.expire(this.#now);
    must(
      expired.length === due.length && due.every(({ call }) => expired.includes(call.id)),
      "exactly the expired calls are returned, each once",
    );
    for (const known of due) this.#ended(known, "expired");
  }

  #dispatch(port: number): void {
    for (;;) {
      const free = this.#free(port);
      const call = this.admission.next(port, free, this.#now);
      if (call === null) return;
      const known = this.known.get(call.id);
      if (known === undefined) throw new Error(`${call.id} is begun though it doesn't wait`);
      must(this.#now < known.expiresAt, "no call begins after its deadline");
      must(known.ports.includes(port), "no call begins at another port");
      must(call.choices <= free, "no call begins without slots");
      this.#mustBeItsTurn(known, port);
      this.#ended(known, "served");
      const endsAt = this.#now + 200 + this.#random.below(3_000);
      this.#running.push({ call, port, since: this.#now, endsAt });
    }
  }

  /** Within one key, scope, priority and set of ports, the earlier call goes first. */
  #mustBeItsTurn({ call, offeredAt }: Known, port: number): void {
    const before = this.waiting.find(
      (other) =>
        other.offeredAt < offeredAt &&
        other.expiresAt > this.#now &&
        other.call.keyId === call.keyId &&
        other.call.scope === call.scope &&
        other.call.priority === call.priority &&
        other.call.choices <= (SLOTS.get(port) ?? 0) &&
        other.ports.includes(port),
    );
    must(before === undefined, `${call.id} is begun before ${before?.call.id}`);
  }

  #end(): void {
    for (const { call, port, since, endsAt } of this.#running) {
      if (endsAt <= this.#now) this.admission.served(port, endsAt - since, call.choices);
    }
    this.#running = this.#running.filter(({ endsAt }) => endsAt > this.#now);
  }

  #free(port: number): number {
    const taken = this.#running.filter((running) => running.port === port);
    return (SLOTS.get(port) ?? 0) - taken.reduce((sum, { call }) => sum + call.choices, 0);
  }

  #check(): void {
    for (const port of SLOTS.keys()) must(this.#free(port) >= 0, "never more at work than slots");
    const waiting = this.waiting.filter(({ expiresAt }) => expiresAt > this.#now);
    const { queued } = this.admission;
    must(queued === waiting.length, `${queued} wait in the queue, ${waiting.length} in truth`);
    const byPriority = this.admission.waiting();
    const count = (priority: Priority): number =>
      waiting.filter(({ call }) => call.priority === priority).length;
    must(
      PRIORITIES.every((priority) => byPriority[priority] === count(priority)),
      "priorities are counted",
    );
    const placed = [...SLOTS.keys()].map((port) => this.admission.portView(port)?.waiting ?? 0);
    must(placed.reduce((sum, count) => sum + count, 0) === queued, "each call takes one port's place");
    for (const ports of !this.#moves && this.#random.chance(0.1) ? PORT_SETS : []) {
      // A call that may use only these ports has no place elsewhere.
      const within = waiting.filter(({ call }) => call.ports.every((port) => ports.includes(port)));
      const places = placesOf(ports);
      must(within.length <= places, `${within.length} wait in ${places} places`);
    }
  }
}

describe("admission, under random traffic", () => {
  const fates = { served: 0, left: 0, expired: 0 };
  const refused = { full: 0, "key-share": 0, "too-long": 0, "too-wide": 0 };

  it.each(SEEDS.slice(0, 6))(
    "loses no call, serves none twice, and respects places, slots, shares and deadlines (seed %i)",
    (seed) => {
      const box = new Box(seed, false);
      for (let step = 0; step < STEPS; step += 1) {
        box.step(step % 1_000 < 800);
      }
      for (let step = 0; step < 20_000 && box.waiting.length > 0; step += 1) box.step(false);
      expect(box.waiting).toEqual([]);
      expect(box.admission.waiting()).toEqual({ high: 0, normal: 0, low: 0 });
      for (const fate of Object.keys(fates) as (keyof typeof fates)[]) fates[fate] += box.fates[fate];
      for (const reason of Object.keys(refused) as (keyof typeof refused)[]) {
        refused[reason] += box.refused[reason];
      }
    },
  );

  it.each(SEEDS.slice(6, 9))(
    "does the same while calls move between ports, and none is refused for it (seed %i)",
    (seed) => {
      const box = new Box(seed, true);
      for (let step = 0; step < STEPS; step += 1) box.step(step % 1_000 < 800);
      for (let step = 0; step < 20_000 && box.waiting.length > 0; step += 1) box.step(false);
      expect(box.waiting).toEqual([]);
      expect(box.fates.served).toBeGreaterThan(100);
    },
  );

  it("covers every result and every reason for refusal", () => {
    for (const [what, count] of Object.entries({ ...fates, ...refused }))
      expect(count, what).toBeGreaterThan(100);
  });
});

/** One port of two busy slots; calls take between half a service time and a full one. */
class OnePort {
  readonly admission = new TestAdmission();
  readonly #random: SeededRandom;
  readonly #endsAt: number[] = [];
  readonly begun = new Map<string, number>();
  now = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.admission.resize(8080, 2);
  }

  offer(id: string, keyId: string, more: Partial<AdmissionCall> = {}): boolean {
    const call = {
      id,
      keyId,
      scope: null,
      priority: "normal",
      ports: [8080],
      choices: 1,
      deadlineAt: 1e12,
    } as const;
    return this.admission.offer({ ...call, ...more }, this.now).kind === "queued";
  }

  /** Starts all calls that it can, then moves to the time when the next slot becomes free. */
  turn(): void {
    this.dispatch();
    this.now = Math.min(...this.#endsAt);
    const { length } = this.#endsAt;
    this.#endsAt.splice(this.#endsAt.indexOf(this.now), 1);
    must(this.#endsAt.length === length - 1, "a slot came free");
  }

  dispatch(): void {
    for (let call = this.#next(); call !== null; call = this.#next()) {
      const serviceMs = SERVICE_MS / 2 + this.#random.below(SERVICE_MS / 2);
      for (let slot = 0; slot < call.choices; slot += 1) this.#endsAt.push(this.now + serviceMs);
      this.begun.set(call.id, this.now);
    }
  }

  #next(): AdmissionCall | null {
    return this.admission.next(8080, 2 - this.#endsAt.length, this.now);
  }
}

const SERVICE_MS = 1_000;

describe("one key's flood", () => {
  it.each(SEEDS)("delays another key's single call by at most one service time (seed %i)", (seed) => {
    const port = new OnePort(seed);
    const random = new SeededRandom(seed);
    for (let round = 0; round < 100; round += 1) {
      for (let at = 0; at < 200; at += 1) port.offer(`hog ${round} ${at}`, "hog");
      for (let turns = random.below(5); turns > 0; turns -= 1) port.turn();
      port.dispatch();
      const id = `single ${round}`;
      const since = port.now;
      must(port.offer(id, "single"), "a newcomer finds a place");
      while (!port.begun.has(id)) port.turn();
      const waited = (port.begun.get(id) ?? Infinity) - since;
      expect(waited).toBeLessThanOrEqual(SERVICE_MS);
    }
  });

  it.each(SEEDS.slice(0, 5))(
    "can't keep a call of two choices, or one of low priority, from its turn (seed %i)",
    (seed) => {
      const port = new OnePort(seed);
      for (let round = 0; round < 40; round += 1) {
        const [wide, low] = [`wide ${round}`, `low ${round}`];
        const since = port.now;
        must(port.offer(wide, "wide", { choices: 2 }), "there is a place");
        must(port.offer(low, "low", { priority: "low" }), "there is a place");
        for (let turn = 0; !port.begun.has(wide) || !port.begun.has(low); turn += 1) {
          for (let at = 0; at < 3; at += 1) port.offer(`hog ${round} ${turn} ${at}`, `hog ${at}`);
          port.turn();
          must(turn < 100, "both are begun in the end");
        }
        // One call of each of three others goes first, then both slots; never more than all of their calls at once.
        expect((port.begun.get(wide) ?? Infinity) - since).toBeLessThanOrEqual(4 * SERVICE_MS);
        // Sixteen turns, and the two slots of the wide call.
        expect((port.begun.get(low) ?? Infinity) - since).toBeLessThanOrEqual(18 * SERVICE_MS);
      }
    },
  );
});

describe("the estimate", () => {
  it.each(SEEDS)(
    "equals a call's wait to within one service time if no further call arrives (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      for (let round = 0; round < 50; round += 1) {
        const admission = new TestAdmission();
        admission.resize(8080, 3);
        const endsAt = [1, 1, 1].map(() => random.below(SERVICE_PRIOR_MS));
        let [id, estimateMs] = ["", 0];
        for (let at = random.below(24); at >= 0; at -= 1) {
          const call: AdmissionCall = {
            id: `call ${at}`,
            keyId: `key ${random.below(1 + random.below(8))}`,
            scope: random.chance(0.5) ? null : `scope ${random.below(4)}`,
            priority: random.pick(PRIORITIES),
            ports: [8080],
            choices: 1,
            deadlineAt: 1e9,
          };
          const offer = admission.offer(call, 0);
          if (offer.kind === "queued") [id, estimateMs] = [call.id, offer.estimateMs];
        }
        let now = 0;
        for (let begun = ""; begun !== id; begun = admission.next(8080, 1, now)?.id ?? "none") {
          now = Math.min(...endsAt);
          endsAt[endsAt.indexOf(now)] = now + SERVICE_PRIOR_MS;
          must(begun !== "none", "the call is begun in the end");
        }
        must(now <= estimateMs + SERVICE_PRIOR_MS, `${now} ms waited, ${estimateMs} estimated`);
      }
    },
  );
});
