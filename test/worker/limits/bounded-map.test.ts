// What an isolate holds for many names: bounded, and gone where the clock steps back.
import { describe, expect, it } from "vitest";
import { LEASE_MARGIN_MS } from "../../../shared/limits.ts";
import { LeasePool } from "../../../worker/limits/bounded-map.ts";
import { seeded } from "../support/random.ts";

class Noted {
  forgotten = 0;
  forget(): void {
    this.forgotten += 1;
  }
}

const pool = (most: number): LeasePool<Noted> => new LeasePool(most, () => new Noted());

describe("a pool of leases", () => {
  it("has one for each name, and makes it when it is first asked for", () => {
    const held = pool(10);
    const one = held.at("one", 0);
    expect(held.at("one", 5)).toBe(one);
    expect(held.at("other", 5)).not.toBe(one);
  });

  it("never holds more names than it may, whatever comes", () => {
    const random = seeded(11);
    const held = pool(7);
    for (let step = 0; step < 2_000; step += 1) {
      const name = `name ${random.whole(0, 40)}`;
      if (random.chance(0.2)) held.touch(name);
      else if (random.chance(0.1)) held.drop(name);
      else held.at(name, step);
      expect(held.size).toBeLessThanOrEqual(7);
    }
  });

  it("forgets first the name that was made or touched longest ago", () => {
    const held = pool(2);
    const [one, two] = [held.at("one", 0), held.at("two", 0)];
    held.touch("one");
    held.at("three", 0);
    expect(held.at("one", 0)).toBe(one);
    held.at("two", 0);
    expect(held.at("two", 0)).not.toBe(two);
  });

  it("makes a dropped name anew", () => {
    const held = pool(2);
    const one = held.at("one", 0);
    held.drop("one");
    expect(held.at("one", 0)).not.toBe(one);
  });

  it("forgets every lease where the clock steps back, once", () => {
    const held = pool(5);
    const all = ["one", "two", "three"].map((name) => held.at(name, 10_000));
    held.at("one", 9_000);
    held.at("two", 9_010);
    expect(all.map(({ forgotten }) => forgotten)).toEqual([1, 1, 1]);
  });

  it("takes a request's time that stood still for no step", () => {
    const held = pool(5);
    const one = held.at("one", 10_000);
    held.at("one", 10_000 - LEASE_MARGIN_MS);
    expect(one.forgotten).toBe(0);
    held.at("one", 10_000 - LEASE_MARGIN_MS - 1);
    expect(one.forgotten).toBe(1);
  });
});
