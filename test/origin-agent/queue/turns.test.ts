// Checks whose turn it is: the calls of one priority at one port that always has room.
import { describe, expect, it } from "vitest";
import type { AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { TestAdmission } from "../support/test-admission.ts";

const PORT = 8080;
const SLOTS = 4;

let arrived = 0;
const call = (keyId: string, scope: string | null = null, choices = 1): AdmissionCall => ({
  id: String(arrived++),
  keyId,
  scope,
  choices,
  priority: "normal",
  ports: [PORT],
  deadlineAt: Infinity,
});

class FairQueue {
  readonly #admission = new TestAdmission({
    queuePerSlot: 1e6,
    queueDeadlineMs: Infinity,
    sharePerKey: 1,
  });

  constructor() {
    this.#admission.resize(PORT, SLOTS);
    this.#admission.setFree(PORT, SLOTS);
  }

  get size(): number {
    return this.#admission.queued;
  }

  add(one: AdmissionCall): void {
    expect(this.#admission.offer(one, 0).kind).toBe("queued");
  }

  peek(): AdmissionCall | undefined {
    return this.#admission.head(PORT, 0) ?? undefined;
  }

  take(one: AdmissionCall): void {
    this.#admission.take(one.id, PORT);
  }

  remove(one: AdmissionCall): void {
    this.#admission.leave(one.id);
  }

  /** Keeps free slots for the next call, which needs more of them. */
  hold(): void {
    this.#admission.setFree(PORT, 1);
    expect(this.peek()).toBeUndefined();
    this.#admission.setFree(PORT, SLOTS);
  }
}

function queueOf(...calls: readonly AdmissionCall[]): FairQueue {
  const queue = new FairQueue();
  for (const one of calls) queue.add(one);
  return queue;
}

/** Takes the next `count` calls and returns their keys, or keys and scopes. */
function taken(queue: FairQueue, count: number): string {
  const names: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const next = queue.peek();
    if (next === undefined) break;
    queue.take(next);
    names.push(next.scope === null ? next.keyId : `${next.keyId}/${next.scope}`);
  }
  return names.join(" ");
}

const times = (count: number, make: () => AdmissionCall): AdmissionCall[] =>
  Array.from({ length: count }, make);

describe("turns", () => {
  it("rotate over the keys, however many calls each has", () => {
    const queue = queueOf(...times(5, () => call("hog")), ...times(2, () => call("b")), call("c"));
    expect(taken(queue, 9)).toBe("hog b c hog b hog hog hog");
    expect(queue.size).toBe(0);
  });

  it("follow the order of arrival within a scope", () => {
    const calls = times(4, () => call("a"));
    const queue = queueOf(...calls);
    for (const expected of calls) {
      expect(queue.peek()).toBe(expected);
      queue.take(expected);
    }
  });

  it("rotate over a key's scopes; calls without a scope form one of them", () => {
    const queue = queueOf(
      ...times(4, () => call("a", "hog")),
      ...times(2, () => call("a", "s")),
      ...times(2, () => call("a")),
    );
    expect(taken(queue, 8)).toBe("a/hog a/s a a/hog a/s a a/hog a/hog");
  });

  it("give a key no extra share for many scopes", () => {
    const queue = queueOf(...times(4, () => call("a", `s${arrived}`)), ...times(4, () => call("b")));
    expect(taken(queue, 8).replaceAll(/\/s\d+/g, "")).toBe("a b a b a b a b");
  });

  it("cost as many units as the call takes slots", () => {
    const queue = queueOf(...times(4, () => call("wide", null, 3)), ...times(9, () => call("b")));
    expect(taken(queue, 9)).toBe("wide b b b wide b b b wide");
  });

  it("reach a new key after at most one call of a key that sent 200", () => {
    for (const served of [0, 1, 7, 150]) {
      const queue = queueOf(...times(200, () => call("hog")));
      taken(queue, served);
      queue.add(call("new"));
      expect(taken(queue, 2).split(" "), `after ${served}`).toContain("new");
    }
  });

  it("give no credit for idle time", () => {
    const queue = queueOf(...times(40, () => call("a")), ...times(2, () => call("b")));
    taken(queue, 24);
    for (const one of times(20, () => call("b"))) queue.add(one);
    expect(taken(queue, 8)).toBe("b a b a b a b a");
  });

  it("are remembered for a key that returns at once: leaving and returning gains nothing", () => {
    const queue = queueOf(...times(20, () => call("a")));
    taken(queue, 1);
    const turns: string[] = [];
    for (let at = 0; at < 10; at += 1) {
      // As soon as b has had its turn, it returns with another call.
      if (!turns.includes("b") || turns.at(-1) === "b" || at === 0) queue.add(call("b"));
      turns.push(taken(queue, 1));
    }
    expect(turns.join(" ")).toBe("b a b a b a b a b a");
  });

  it("cost nothing for a call that left or that another port took", () => {
    const left = times(5, () => call("b"));
    const queue = queueOf(...times(5, () => call("a")), ...left, call("b"));
    for (const one of left) queue.remove(one);
    expect(queue.size).toBe(6);
    expect(taken(queue, 3)).toBe("a b a");
  });

  it("stay with the call for which slots are reserved, whatever arrives", () => {
    const first = call("wide");
    const wide = call("wide", null, 4);
    const held = queueOf(first, wide);
    taken(held, 1);
    held.hold();
    for (let at = 0; at < 5; at += 1) held.add(call(`new ${at}`));
    expect(held.peek()).toBe(wide);
  });
});

describe("the memory of past turns", () => {
  it("is bounded, with ten thousand scopes coming and going under one busy key", () => {
    const queue = queueOf(...times(3, () => call("a", "busy")));
    for (let at = 0; at < 10_000; at += 1) {
      const one = call("a", `patient ${at}`);
      queue.add(one);
      queue.take(one);
    }
    // The last turns are remembered; the first one isn't, so that scope counts as new.
    queue.add(call("a", "patient 9999"));
    queue.add(call("a", "patient 0"));
    expect(taken(queue, 4)).toBe("a/busy a/patient 0 a/busy a/patient 9999");
  });
});

describe("fairness, over random traffic", () => {
  it.each(SEEDS)(
    "keeps keys that always wait within one call of each other, and serves every call (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      const queue = new FairQueue();
      const always = ["a", "b", "c"].slice(0, 2 + random.below(2));
      const waiting = new Map<string, number>();
      const had = new Map<string, number>();
      const inside = new Set<AdmissionCall>();
      let widest = 1;
      const add = (keyId: string): void => {
        const choices = 1 + random.below(3);
        widest = Math.max(widest, choices);
        const one = call(keyId, random.chance(0.5) ? `s${random.below(4)}` : null, choices);
        queue.add(one);
        inside.add(one);
        waiting.set(keyId, (waiting.get(keyId) ?? 0) + 1);
      };
      for (let step = 0; step < 20_000; step += 1) {
        for (const keyId of always) while ((waiting.get(keyId) ?? 0) < 2) add(keyId);
        if (random.chance(0.3)) add(random.pick(always));
        if (random.chance(0.2)) add(`visitor ${random.below(30)}`);
        if (random.chance(0.05)) {
          const gone = random.pick([...inside].filter(({ keyId }) => (waiting.get(keyId) ?? 0) > 1));
          queue.remove(gone);
          inside.delete(gone);
          waiting.set(gone.keyId, (waiting.get(gone.keyId) ?? 0) - 1);
        }
        const next = queue.peek();
        if (next === undefined || !inside.delete(next))
          throw new Error(`seed ${seed}: served twice, or none`);
        queue.take(next);
        waiting.set(next.keyId, (waiting.get(next.keyId) ?? 0) - 1);
        had.set(next.keyId, (had.get(next.keyId) ?? 0) + next.choices);
        const work = always.map((keyId) => had.get(keyId) ?? 0);
        const lag = Math.max(...work) - Math.min(...work);
        if (lag > 2 * widest) throw new Error(`seed ${seed}, step ${step}: ${lag} apart`);
      }
      while (inside.size > 0) {
        const next = queue.peek();
        if (next === undefined || !inside.delete(next)) throw new Error(`seed ${seed}: a call is lost`);
        queue.take(next);
      }
      expect(queue.size).toBe(0);
      expect(queue.peek()).toBeUndefined();
    },
  );

  it.each(SEEDS.slice(0, 5))(
    "passes no waiting call over more often than the number of others times their widest call (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      const queue = new FairQueue();
      const since = new Map<AdmissionCall, number>();
      const keys = 6;
      for (let step = 0; step < 20_000; step += 1) {
        const keyId = `key ${random.below(keys)}`;
        const others = [...since.keys()].filter((one) => one.keyId === keyId).length;
        if (others < 3) {
          const one = call(keyId, null, 1 + random.below(2));
          queue.add(one);
          since.set(one, step);
        }
        const next = queue.peek();
        if (next === undefined) continue;
        queue.take(next);
        const waited = step - (since.get(next) ?? step);
        since.delete(next);
        // Two calls of its own key first; for each of the three turns, two units of every other key; and their overlap.
        if (waited > 3 * 2 * (keys - 1) * 2) throw new Error(`seed ${seed}: waited ${waited} turns`);
      }
    },
  );
});
