// The core of every limit: never more than its quota in a window, whatever is asked and however the clock walks.
import { describe, expect, it } from "vitest";
import {
  grant,
  NO_WINDOW,
  type RateLimit,
  type RateWindow,
  type WindowQuestion,
} from "../../../worker/limits/rate-window.ts";
import { seeded, type Random } from "../support/random.ts";

const LIMIT: RateLimit = { quota: 5, windowMs: 1_000 };

/** For calls that all wait. */
function waiting(count: number): WindowQuestion {
  return { want: count, waiting: count, wantNext: 0 };
}

/** For calls that may come. */
function ahead(want: number, wantNext = 0): WindowQuestion {
  return { want, waiting: 0, wantNext };
}

/** Asks in order, from one state to the next. */
function askAll(questions: readonly (readonly [WindowQuestion, number])[], limit = LIMIT): number[] {
  let window = NO_WINDOW;
  return questions.map(([question, now]) => {
    const taken = grant(window, limit, question, now);
    window = taken.window;
    return taken.grant.granted;
  });
}

const waitingAll = (asked: readonly (readonly [number, number])[]): number[] =>
  askAll(asked.map(([count, now]) => [waiting(count), now]));

describe("a window", () => {
  it("grants waiting calls up to its quota and no more", () => {
    const granted = waitingAll([
      [3, 10_100],
      [3, 10_200],
      [1, 10_999],
    ]);
    expect(granted).toEqual([3, 2, 0]);
  });

  it("ends on the clock's full length, not after its first request", () => {
    const granted = waitingAll([
      [5, 10_999],
      [5, 11_000],
      [1, 11_999],
      [1, 12_000],
    ]);
    expect(granted).toEqual([5, 5, 0, 1]);
  });

  it("says what is left and for how long", () => {
    const { grant: first } = grant(NO_WINDOW, LIMIT, waiting(2), 10_250);
    expect(first).toEqual({ granted: 2, remaining: 3, endsInMs: 750, next: null });
  });

  it("gives no more than a quarter of what is left to those who don't wait", () => {
    const limit = { quota: 100, windowMs: 1_000 };
    const asked = [50, 50, 50, 10, 1].map((want): readonly [WindowQuestion, number] => [ahead(want), 10_000]);
    expect(askAll(asked, limit)).toEqual([25, 19, 14, 10, 1]);
  });

  it("gives all that waits, and a quarter of the rest", () => {
    const question = { want: 90, waiting: 20, wantNext: 0 };
    expect(grant(NO_WINDOW, { quota: 100, windowMs: 1_000 }, question, 10_000).grant).toMatchObject({
      granted: 40,
      remaining: 60,
    });
  });

  it("gives its last token to whoever asks", () => {
    expect(
      askAll([
        [waiting(4), 10_000],
        [ahead(9), 10_000],
        [ahead(9), 10_000],
      ]),
    ).toEqual([4, 1, 0]);
  });

  it.each<[string, number]>([
    ["nothing", 0],
    ["less than nothing", -7],
    ["a part", 0.9],
    ["no number", Number.NaN],
    ["less than any number", -Infinity],
  ])("grants nothing to those that want %s, now or next", (_, want) => {
    const taken = grant(NO_WINDOW, LIMIT, { want, waiting: want, wantNext: want, passed: want }, 10_000);
    expect(taken.grant).toEqual({ granted: 0, remaining: 5, endsInMs: 1_000, next: null });
  });

  it.each([1e308, Infinity, Number.MAX_SAFE_INTEGER])("grants its quota to those that want %d", (want) => {
    const taken = grant(NO_WINDOW, LIMIT, { want, waiting: want, wantNext: want }, 10_000);
    expect(taken.grant).toMatchObject({ granted: 5, remaining: 0, next: { granted: 2, remaining: 3 } });
  });

  it("whose quota was lowered grants nothing more until it ends, and never asks back", () => {
    const { window } = grant(NO_WINDOW, LIMIT, waiting(5), 10_000);
    const lowered = grant(window, { ...LIMIT, quota: 2 }, waiting(1), 10_100);
    expect(lowered.grant).toMatchObject({ granted: 0, remaining: 0 });
    expect(grant(lowered.window, { ...LIMIT, quota: 2 }, waiting(5), 11_000).grant.granted).toBe(2);
  });

  it("deducts first what was let pass unasked, and no more than there is", () => {
    const limit = { quota: 20, windowMs: 1_000 };
    const passed = grant(NO_WINDOW, limit, { ...waiting(15), passed: 10 }, 10_000);
    expect(passed.grant).toMatchObject({ granted: 10, remaining: 0 });
    const more = grant(NO_WINDOW, limit, { ...waiting(15), passed: 1e9 }, 10_000);
    expect(more.grant).toMatchObject({ granted: 0, remaining: 0 });
    expect(grant(more.window, limit, waiting(20), 11_000).grant.granted).toBe(20);
  });
});

describe("the window after it", () => {
  const limit = { quota: 100, windowMs: 1_000 };

  it("is granted ahead, a quarter of what is left of it at a time", () => {
    const first = grant(NO_WINDOW, limit, ahead(0, 90), 10_250);
    expect(first.grant.next).toEqual({ granted: 25, remaining: 75, startsInMs: 750, endsInMs: 1_750 });
    const second = grant(first.window, limit, ahead(0, 90), 10_500);
    expect(second.grant.next).toMatchObject({ granted: 19, remaining: 56, startsInMs: 500 });
  });

  it("has no waiting calls yet", () => {
    const { grant: lease } = grant(NO_WINDOW, limit, { want: 90, waiting: 90, wantNext: 90 }, 10_000);
    expect(lease.next?.granted).toBe(25);
  });

  it("counts what was granted ahead once it begins", () => {
    const { window } = grant(NO_WINDOW, limit, ahead(0, 25), 10_900);
    expect(grant(window, limit, waiting(100), 11_000).grant).toMatchObject({ granted: 75, remaining: 0 });
  });

  it("counts none of it in the window after", () => {
    const { window } = grant(NO_WINDOW, limit, ahead(0, 25), 10_900);
    expect(grant(window, limit, waiting(100), 12_000).grant.granted).toBe(100);
  });

  it("takes nothing of this one", () => {
    const { window } = grant(NO_WINDOW, limit, ahead(0, 25), 10_000);
    expect(grant(window, limit, waiting(100), 10_001).grant.granted).toBe(100);
  });
});

describe("a clock that steps", () => {
  it("back a little stays in the window", () => {
    const granted = waitingAll([
      [5, 11_001],
      [1, 10_999],
      [1, 10_500],
      [1, 10_000],
    ]);
    expect(granted).toEqual([5, 0, 0, 0]);
  });

  it("back from far ahead locks nobody out: time goes on from where it was", () => {
    const granted = waitingAll([
      [5, 9_000_000],
      [5, 10_000],
      [1, 10_999],
      [5, 11_000],
    ]);
    expect(granted).toEqual([5, 0, 0, 5]);
  });

  it("ahead and back never comes to a window twice", () => {
    const granted = waitingAll([
      [5, 10_000],
      [5, 3_610_000],
      [5, 10_000],
      [5, 10_001],
    ]);
    expect(granted).toEqual([5, 5, 0, 0]);
  });

  it("back never makes a lease longer than its window", () => {
    const { window } = grant(NO_WINDOW, LIMIT, waiting(1), 11_400);
    expect(grant(window, LIMIT, waiting(1), 10_100).grant.endsInMs).toBe(600);
  });
});

describe("whatever is asked, in no window is more granted than its quota", () => {
  it("this one's and the next one's together, while the clock runs, stands, jumps ahead and steps back", () => {
    for (let seed = 1; seed <= 100; seed += 1) walk(seed);
  });

  it("and every window's whole quota can be had", () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const random = seeded(seed);
      const quota = random.whole(1, 40);
      let window = NO_WINDOW;
      let had = 0;
      for (let ask = 0; ask < quota; ask += 1) {
        const taken = grant(window, { quota, windowMs: 1_000 }, ahead(1), 50_000 + random.whole(0, 999));
        window = taken.window;
        had += taken.grant.granted;
      }
      expect(had, `seed ${seed}`).toBe(quota);
    }
  });
});

function walk(seed: number): void {
  const random = seeded(seed);
  const limit = { quota: random.whole(1, 50), windowMs: random.pick([1_000, 5_000, 60_000]) };
  let window: RateWindow = NO_WINDOW;
  let now = random.whole(1_700_000_000_000, 1_800_000_000_000);
  const granted = new Map<number, number>();
  const add = (startedAt: number, tokens: number): void => {
    granted.set(startedAt, (granted.get(startedAt) ?? 0) + tokens);
  };
  for (let step = 0; step < 200; step += 1) {
    now += random.chance(0.3) ? random.whole(0, 3 * limit.windowMs) : random.whole(0, 20);
    if (random.chance(0.1)) now -= random.whole(0, 5 * limit.windowMs);
    const question = {
      want: number(random),
      waiting: number(random),
      wantNext: number(random),
      passed: number(random),
    };
    const before = window;
    const taken = grant(window, limit, question, now);
    window = taken.window;
    const { grant: lease } = taken;
    const where = `seed ${seed}, step ${step}`;
    expect(window.startedAt, where).toBeGreaterThanOrEqual(before.startedAt);
    add(window.startedAt, lease.granted);
    if (lease.next !== null) add(window.startedAt + limit.windowMs, lease.next.granted);
    expect(lease.granted, where).toBeLessThanOrEqual(Math.max(0, question.want || 0));
    expect(lease.granted, where).toBeGreaterThanOrEqual(0);
    expect(lease.remaining, where).toBe(Math.max(0, limit.quota - window.granted));
    expect(lease.endsInMs, where).toBeGreaterThan(0);
    expect(lease.endsInMs, where).toBeLessThanOrEqual(limit.windowMs);
  }
  for (const [startedAt, total] of granted) {
    expect(total, `seed ${seed}, window ${startedAt}`).toBeLessThanOrEqual(limit.quota);
    expect(startedAt % limit.windowMs, `seed ${seed}`).toBe(0);
  }
}

function number(random: Random): number {
  return random.pick([0, 1, 1, 2, 7, 1_000, -3, 1.5, Number.NaN, Infinity]);
}
