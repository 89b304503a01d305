import { expect, it, onTestFinished, vi } from "vitest";
import { BoundedMap } from "../../shared/bounded-map.ts";
import { SeededRandom, SEEDS } from "../support/seeded-random.ts";

it.each(SEEDS)("holds the entries that were used last (seed %i)", (seed) => {
  const random = new SeededRandom(seed);
  const max = 1 + random.below(8);
  const map = new BoundedMap<number, number>(max);
  /** Oldest first. */
  let expected: [key: number, value: number][] = [];
  const without = (key: number) => expected.filter(([other]) => other !== key);
  for (let step = 0; step < 2_000; step += 1) {
    const key = random.below(2 * max + 2);
    if (random.chance(0.5)) {
      map.set(key, step);
      expected = [...without(key), [key, step] as [number, number]].slice(-max);
    } else if (random.chance(0.8)) {
      const found = expected.find(([other]) => other === key);
      expect(map.get(key), `step ${step}`).toBe(found?.[1]);
      if (found !== undefined) expected = [...without(key), found];
    } else if (random.chance(0.9)) {
      map.delete(key);
      expected = without(key);
    } else {
      map.clear();
      expected = [];
    }
    expect(map.size, `step ${step}`).toBe(expected.length);
  }
  // Reading the oldest first leaves the order as it is.
  for (const [key, value] of expected) expect(map.get(key)).toBe(value);
});

it("takes a constant number of steps when it is full", () => {
  const size = 20_000;
  const map = new BoundedMap<number, number>(size);
  for (let key = 0; key < size; key += 1) map.set(key, key);
  const steps = { map: 0, iterator: 0 };
  const { prototype } = Map;
  for (const name of ["get", "set", "delete", "has"] as const) {
    const original = prototype[name] as (...args: unknown[]) => unknown;
    vi.spyOn(prototype, name).mockImplementation(function count(this: unknown, ...args: unknown[]) {
      steps.map += 1;
      return original.apply(this, args) as never;
    });
  }
  const iterator = Object.getPrototypeOf(new Map().keys()) as { next: () => IteratorResult<unknown> };
  const { next } = iterator;
  vi.spyOn(iterator, "next").mockImplementation(function count(this: unknown) {
    steps.iterator += 1;
    return next.call(this);
  });
  onTestFinished(() => void vi.restoreAllMocks());
  const operations = 1_000;
  for (let key = size; key < size + operations; key += 1) {
    map.set(key, key);
    map.get(key - size / 2);
  }
  const counted = { ...steps };
  expect(map.size).toBe(size);
  expect(counted.iterator).toBe(0);
  // A lookup, an insertion, an eviction's lookup and its deletion; the read's lookup.
  expect(counted.map).toBe(5 * operations);
});
