import { describe, expect, it } from "vitest";
import { BODY_TIMEOUT_MS, BOX_HEADERS_WAIT_MS } from "../../../shared/limits.ts";
import { BodyMemory } from "../../../worker/http/body-memory.ts";
import { seeded } from "../support/random.ts";

describe("an isolate's memory for bodies", () => {
  it("is bounded, and free again once a body is released, exactly once", () => {
    const memory = new BodyMemory(100, () => 0);
    const [first, second] = [memory.hold(), memory.hold()];
    expect([first.grow(60), second.grow(40), second.grow(1), first.grow(1)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    first.release();
    first.release();
    expect([second.grow(60), second.grow(1)]).toEqual([true, false]);
  });

  it("of a request that was cancelled without a release is free again after two minutes", () => {
    let now = 0;
    const memory = new BodyMemory(100, () => now);
    const lost = memory.hold();
    lost.grow(100);
    now = BODY_TIMEOUT_MS + BOX_HEADERS_WAIT_MS - 1;
    const next = memory.hold();
    expect(next.grow(1)).toBe(false);
    now += 1;
    expect(next.grow(100)).toBe(true);
    // A release that comes after all frees nothing of another request.
    lost.release();
    expect(memory.hold().grow(1)).toBe(false);
  });

  it("is never exceeded, and is empty in the end", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const random = seeded(seed);
      const memory = new BodyMemory(1_000, () => 0);
      const open: { hold: ReturnType<BodyMemory["hold"]>; bytes: number }[] = [];
      for (let step = 0; step < 300; step += 1) {
        const [kind = 0, pick = 0, size = 0] = random.bytes(3);
        if (kind < 80) open.push({ hold: memory.hold(), bytes: 0 });
        const one = open[pick % Math.max(open.length, 1)];
        if (one === undefined) continue;
        if (kind < 200) {
          const total = open.reduce((sum, { bytes }) => sum + bytes, 0);
          const hasGrown = one.hold.grow(size);
          expect(hasGrown, `seed ${seed}`).toBe(total + size <= 1_000);
          if (hasGrown) one.bytes += size;
        } else {
          one.hold.release();
          open.splice(open.indexOf(one), 1);
        }
      }
      for (const { hold } of open) hold.release();
      expect(memory.hold().grow(1_000), `seed ${seed}`).toBe(true);
    }
  });
});
