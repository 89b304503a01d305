import { describe, expect, it } from "vitest";
import { KeyConcurrency } from "../../../origin-agent/queue/key-concurrency.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

describe("a key's calls on the box", () => {
  it("never exceed its limit, and an ended call makes room", () => {
    const keys = new KeyConcurrency();
    const first = keys.enter("a", 2);
    keys.enter("a", 2);
    expect(keys.enter("a", 2)).toBeNull();
    expect(keys.enter("b", 1)).not.toBeNull();
    first?.();
    expect(keys.enter("a", 2)).not.toBeNull();
  });

  it("are subtracted once, however often a call is released", () => {
    const keys = new KeyConcurrency();
    const first = keys.enter("a", 1);
    first?.();
    const second = keys.enter("a", 1);
    first?.();
    first?.();
    expect(keys.of("a")).toBe(1);
    expect(keys.enter("a", 1)).toBeNull();
    second?.();
    expect(keys.keys).toBe(0);
  });

  it("are counted for keys without a limit too: one may be set while calls are running", () => {
    const keys = new KeyConcurrency();
    keys.enter("a", null);
    keys.enter("a", null);
    expect(keys.enter("a", 2)).toBeNull();
  });

  it.each(SEEDS)(
    "equal a plain list of running calls, and keys without calls are forgotten: seed %i",
    (seed) => {
      const random = new SeededRandom(seed);
      const keys = new KeyConcurrency();
      const open: { key: string; leave: () => void }[] = [];
      for (let step = 0; step < 2_000; step += 1) {
        if (random.chance(0.5)) {
          const key = `key-${random.below(20)}`;
          const most = random.chance(0.2) ? null : 1 + random.below(4);
          const has = open.filter((call) => call.key === key).length;
          const leave = keys.enter(key, most);
          expect(leave === null).toBe(most !== null && has >= most);
          if (leave !== null) open.push({ key, leave });
        } else if (open.length > 0) {
          const [gone] = open.splice(random.below(open.length), 1);
          gone?.leave();
          if (random.chance(0.3)) gone?.leave();
        }
      }
      for (const { leave } of open) leave();
      expect(keys.keys).toBe(0);
    },
  );
});
