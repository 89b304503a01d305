import { describe, expect, it } from "vitest";
import { IndexedHeap } from "../../../origin-agent/queue/indexed-heap.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

interface Member {
  weight: number;
  readonly order: number;
}

const before = (one: Member, other: Member): boolean =>
  one.weight === other.weight ? one.order < other.order : one.weight < other.weight;

describe("a heap", () => {
  it.each(SEEDS)("returns its first element, whatever was removed or changed (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const heap = new IndexedHeap(before);
    const members = new Set<Member>();
    for (let step = 0; step < 2_000; step += 1) {
      const turn = random.next();
      if (members.size === 0 || turn < 0.5) {
        const member = { weight: random.below(50), order: step };
        members.add(member);
        heap.push(member);
      } else {
        const member = turn < 0.6 ? heap.peek() : random.pick([...members]);
        if (member === undefined) throw new Error("an empty heap");
        if (turn < 0.8) {
          expect(heap.remove(member)).toBe(true);
          members.delete(member);
          expect(heap.has(member)).toBe(false);
        } else {
          member.weight = random.below(50);
          heap.update(member);
        }
      }
      expect(heap.size).toBe(members.size);
      expect(heap.peek()).toBe([...members].sort((one, other) => (before(one, other) ? -1 : 1))[0]);
    }
  });

  it("ignores the removal of an element that it doesn't contain", () => {
    const heap = new IndexedHeap(before);
    expect(heap.peek()).toBeUndefined();
    expect(heap.remove({ weight: 1, order: 1 })).toBe(false);
    heap.push({ weight: 1, order: 1 });
    heap.clear();
    expect([heap.size, heap.peek()]).toEqual([0, undefined]);
  });
});
