// The core of every limit: never more than its quota in a window, whatever is asked and however the clock walks.
import { describe, expect, it } from "vitest";
import { grant, NO_WINDOW, type RateLimit, type RateWindow } from "../../../worker/objects/rate-window.ts";
import { seeded } from "../support/random.ts";

const LIMIT: RateLimit = { quota: 5, windowMs: 1_000 };

/** Asks in order, from one state to the next. */
function askAll(questions: readonly (readonly [want: number, now: number])[], limit = LIMIT): number[] {
  let window = NO_WINDOW;
  return questions.map(([want, now]) => {
    const taken = grant(window, limit, want, now);
    window = taken.window;
    return taken.grant.granted;
  });
}

describe("a window", () => {
  it("grants up to its quota and no more", () => {
    expect(
      askAll([
        [3, 10_100],
        [3, 10_200],
        [1, 10_999],
      ]),
    ).toEqual([3, 2, 0]);
  });

  it("ends on the clock's full length, not after its first request", () => {
    expect(
      askAll([
        [5, 10_999],
        [5, 11_000],
        [1, 11_999],
        [1, 12_000],
      ]),
    ).toEqual([5, 5, 0, 1]);
  });

  it("says what is left and for how long", () => {
    const { grant: first } = grant(NO_WINDOW, LIMIT, 2, 10_250);
    expect(first).toEqual({ granted: 2, remaining: 3, endsInMs: 750 });
  });

  it("grants nothing to those that want nothing, less, or a part", () => {
    expect(
      askAll([
        [0, 10_000],
        [-7, 10_000],
        [0.9, 10_000],
        [5, 10_000],
      ]),
    ).toEqual([0, 0, 0, 5]);
  });

  it("whose quota was lowered grants nothing more until it ends, and never asks back", () => {
    const { window } = grant(NO_WINDOW, LIMIT, 5, 10_000);
    const lowered = grant(window, { ...LIMIT, quota: 2 }, 1, 10_100);
    expect(lowered.grant).toMatchObject({ granted: 0, remaining: 0 });
    expect(grant(lowered.window, { ...LIMIT, quota: 2 }, 5, 11_000).grant.granted).toBe(2);
  });

  it("stays spent where the clock steps back a little", () => {
    expect(
      askAll([
        [5, 11_001],
        [1, 10_999],
        [1, 10_500],
        [1, 10_000],
        [1, 11_500],
      ]),
    ).toEqual([5, 0, 0, 0, 0]);
  });

  it("starts anew where a clock that was far ahead was set right: nobody is locked out", () => {
    expect(
      askAll([
        [5, 9_000_000],
        [5, 10_000],
        [1, 10_500],
      ]),
    ).toEqual([5, 5, 0]);
  });
});

describe("whatever is asked, in no window is more granted than its quota", () => {
  it("while the clock runs, stands, jumps ahead and steps back up to a window", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = seeded(seed);
      const limit = { quota: random.whole(1, 50), windowMs: random.pick([1_000, 5_000, 60_000]) };
      let window: RateWindow = NO_WINDOW;
      let latest = random.whole(1_700_000_000_000, 1_800_000_000_000);
      const granted = new Map<number, number>();
      for (let step = 0; step < 200; step += 1) {
        const back = random.chance(0.2) ? random.whole(0, limit.windowMs) : 0;
        latest += random.chance(0.3) ? random.whole(0, 3 * limit.windowMs) : random.whole(0, 20);
        const now = latest - back;
        const want = random.pick([0, 1, 1, 2, 7, 1_000, -3, 1.5]);
        const taken = grant(window, limit, want, now);
        window = taken.window;
        granted.set(window.startedAt, (granted.get(window.startedAt) ?? 0) + taken.grant.granted);
        const where = `seed ${seed}, step ${step}`;
        expect(taken.grant.granted, where).toBeLessThanOrEqual(Math.max(0, want));
        expect(taken.grant.granted, where).toBeGreaterThanOrEqual(0);
        expect(taken.grant.remaining, where).toBe(limit.quota - (granted.get(window.startedAt) ?? 0));
        expect(taken.grant.endsInMs, where).toBeGreaterThan(0);
      }
      for (const [startedAt, total] of granted) {
        expect(total, `seed ${seed}, window ${startedAt}`).toBeLessThanOrEqual(limit.quota);
        expect(startedAt % limit.windowMs, `seed ${seed}`).toBe(0);
      }
    }
  });

  it("and every window's whole quota can be had", () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const random = seeded(seed);
      const quota = random.whole(1, 40);
      let window = NO_WINDOW;
      let had = 0;
      for (let ask = 0; ask < quota; ask += 1) {
        const taken = grant(window, { quota, windowMs: 1_000 }, 1, 50_000 + random.whole(0, 999));
        window = taken.window;
        had += taken.grant.granted;
      }
      expect(had, `seed ${seed}`).toBe(quota);
    }
  });
});
