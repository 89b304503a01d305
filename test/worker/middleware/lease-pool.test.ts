// Tokens an isolate holds: spent once each, dead with their window, bounded in number of names.
import { describe, expect, it } from "vitest";
import { LeasePool } from "../../../worker/middleware/lease-pool.ts";
import { seeded } from "../support/random.ts";

describe("a token", () => {
  it("is there once for each that was added", () => {
    const pool = new LeasePool<string>(10);
    pool.add("a", { value: "told", endsAt: 100 }, 2, 0);
    expect(pool.take("a", 1)).toEqual({ value: "told", endsAt: 100 });
    expect(pool.take("a", 2)).toEqual({ value: "told", endsAt: 100 });
    expect(pool.take("a", 3)).toBeNull();
  });

  it("belongs to its name alone", () => {
    const pool = new LeasePool<string>(10);
    pool.add("a", { value: "a's", endsAt: 100 }, 1, 0);
    expect(pool.take("b", 1)).toBeNull();
    expect(pool.take("a", 1)?.value).toBe("a's");
  });

  it("is dead from the moment its lease ends", () => {
    const pool = new LeasePool<null>(10);
    pool.add("a", { value: null, endsAt: 100 }, 5, 0);
    expect(pool.take("a", 99)).not.toBeNull();
    expect(pool.take("a", 100)).toBeNull();
    expect(pool.take("a", 99)).toBeNull();
  });

  it("that is dead when added, or none, is not kept", () => {
    const pool = new LeasePool<null>(10);
    pool.add("a", { value: null, endsAt: 100 }, 1, 100);
    pool.add("b", { value: null, endsAt: 100 }, 0, 0);
    pool.add("c", { value: null, endsAt: 100 }, -2, 0);
    expect(pool.size).toBe(0);
  });

  it("added to others ends with the earliest of them", () => {
    const pool = new LeasePool<null>(10);
    pool.add("a", { value: null, endsAt: 200 }, 1, 0);
    pool.add("a", { value: null, endsAt: 100 }, 1, 0);
    expect(pool.take("a", 50)?.endsAt).toBe(100);
    expect(pool.take("a", 150)).toBeNull();
  });

  it("isn't added to dead ones", () => {
    const pool = new LeasePool<null>(10);
    pool.add("a", { value: null, endsAt: 100 }, 5, 0);
    pool.add("a", { value: null, endsAt: 300 }, 1, 150);
    expect(pool.take("a", 160)?.endsAt).toBe(300);
    expect(pool.take("a", 160)).toBeNull();
  });

  it("carries what was told last", () => {
    const pool = new LeasePool<string>(10);
    pool.add("a", { value: "old", endsAt: 100 }, 1, 0);
    pool.add("a", { value: "new", endsAt: 100 }, 1, 0);
    expect(pool.take("a", 1)?.value).toBe("new");
  });
});

describe("whatever is done", () => {
  it("no more is taken than was added and alive, and no more names are held than allowed", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = seeded(seed);
      const bound = random.whole(1, 6);
      const pool = new LeasePool<number>(bound);
      const alive = new Map<string, { endsAt: number; left: number }[]>();
      let now = 1_000;
      for (let step = 0; step < 300; step += 1) {
        now += random.whole(0, 30);
        const name = random.pick(["a", "b", "c", "d", "e", "f", "g", "h"]);
        const where = `seed ${seed}, step ${step}`;
        if (random.chance(0.4)) {
          const endsAt = now + random.whole(-20, 200);
          const tokens = random.whole(0, 4);
          pool.add(name, { value: step, endsAt }, tokens, now);
          alive.set(name, [...(alive.get(name) ?? []), { endsAt, left: tokens }]);
        } else {
          const taken = pool.take(name, now);
          if (taken === null) continue;
          expect(taken.endsAt, where).toBeGreaterThan(now);
          const granted = (alive.get(name) ?? []).filter((lease) => lease.endsAt > now && lease.left > 0);
          const source = granted.sort((a, b) => a.endsAt - b.endsAt)[0];
          expect(source, where).toBeDefined();
          if (source !== undefined) source.left -= 1;
        }
        expect(pool.size, where).toBeLessThanOrEqual(bound);
      }
    }
  });

  it("the names added longest ago are forgotten first", () => {
    const pool = new LeasePool<null>(2);
    for (const name of ["a", "b", "a", "c"]) pool.add(name, { value: null, endsAt: 100 }, 1, 0);
    expect(pool.take("b", 1)).toBeNull();
    expect(pool.take("a", 1)).not.toBeNull();
    expect(pool.take("c", 1)).not.toBeNull();
  });
});
