// The core of every limit: never more than its quota in a window, whatever is requested and however the clock moves.
import { describe, expect, it } from "vitest";
import {
  grant,
  NO_WINDOW,
  type RateLimit,
  type RateWindow,
  type WindowRequest,
} from "../../../worker/limits/rate-window.ts";
import { seeded, type Random } from "../support/random.ts";

const LIMIT: RateLimit = { quota: 5, windowMs: 1_000 };

/** For client requests that all wait. */
function waiting(count: number): WindowRequest {
  return { want: count, waiting: count };
}

/** For client requests that may come. */
function ahead(want: number): WindowRequest {
  return { want, waiting: 0 };
}

/** Grants requests in order, from one state to the next. */
function grantAll(requests: readonly (readonly [WindowRequest, number])[], limit = LIMIT): number[] {
  let window = NO_WINDOW;
  return requests.map(([request, now]) => {
    const taken = grant(window, limit, request, now);
    window = taken.window;
    return taken.grant.granted;
  });
}

const waitingAll = (requests: readonly (readonly [number, number])[]): number[] =>
  grantAll(requests.map(([count, now]) => [waiting(count), now]));

describe("a window", () => {
  it("grants waiting requests up to its quota and no more", () => {
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

  it("reports what is left and for how long", () => {
    const { grant: first } = grant(NO_WINDOW, LIMIT, waiting(2), 10_250);
    expect(first).toEqual({ granted: 2, remaining: 3, endsInMs: 750 });
  });

  it("grants no more than a quarter of what is left to a request that nothing waits for", () => {
    const limit = { quota: 100, windowMs: 1_000 };
    const requests = [50, 50, 50, 10, 1].map((want): readonly [WindowRequest, number] => [
      ahead(want),
      10_000,
    ]);
    expect(grantAll(requests, limit)).toEqual([25, 18, 14, 10, 1]);
  });

  it("grants a token to each request that waits, though that is more than a quarter", () => {
    const limit = { quota: 100, windowMs: 1_000 };
    expect(grant(NO_WINDOW, limit, { want: 90, waiting: 40 }, 10_000).grant).toMatchObject({
      granted: 40,
      remaining: 60,
    });
    expect(grant(NO_WINDOW, limit, { want: 90, waiting: 1 }, 10_000).grant).toMatchObject({ granted: 25 });
  });

  it("keeps its last tokens for requests that wait", () => {
    expect(
      grantAll([
        [waiting(4), 10_000],
        [ahead(9), 10_000],
        [{ want: 9, waiting: 1 }, 10_000],
        [{ want: 9, waiting: 1 }, 10_000],
      ]),
    ).toEqual([4, 0, 1, 0]);
  });

  it.each<[string, number]>([
    ["nothing", 0],
    ["a negative number", -7],
    ["a fraction", 0.9],
    ["NaN", Number.NaN],
    ["-Infinity", -Infinity],
  ])("grants nothing to a request for %s", (_, want) => {
    const taken = grant(NO_WINDOW, LIMIT, { want, waiting: want, passed: want }, 10_000);
    expect(taken.grant).toEqual({ granted: 0, remaining: 5, endsInMs: 1_000 });
  });

  it.each([1e308, Infinity, Number.MAX_SAFE_INTEGER])("grants its quota to a request for %d", (want) => {
    const taken = grant(NO_WINDOW, LIMIT, { want, waiting: want }, 10_000);
    expect(taken.grant).toMatchObject({ granted: 5, remaining: 0 });
  });

  it("whose quota was lowered grants nothing more until it ends, and takes nothing back", () => {
    const { window } = grant(NO_WINDOW, LIMIT, waiting(5), 10_000);
    const lowered = grant(window, { ...LIMIT, quota: 2 }, waiting(1), 10_100);
    expect(lowered.grant).toMatchObject({ granted: 0, remaining: 0 });
    expect(grant(lowered.window, { ...LIMIT, quota: 2 }, waiting(5), 11_000).grant.granted).toBe(2);
  });

  it("deducts free passes first, and no more than there is", () => {
    const limit = { quota: 20, windowMs: 1_000 };
    const passed = grant(NO_WINDOW, limit, { ...waiting(15), passed: 10 }, 10_000);
    expect(passed.grant).toMatchObject({ granted: 10, remaining: 0 });
    const more = grant(NO_WINDOW, limit, { ...waiting(15), passed: 1e9 }, 10_000);
    expect(more.grant).toMatchObject({ granted: 0, remaining: 0 });
    expect(grant(more.window, limit, waiting(20), 11_000).grant.granted).toBe(20);
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

  it("back from far ahead blocks no caller: time continues from where it was", () => {
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

describe("whatever is requested, no window grants more than its quota", () => {
  it("while the clock runs, stands still, jumps ahead and steps back", () => {
    for (let seed = 1; seed <= 100; seed += 1) walk(seed);
  });

  it("and every window's quota can be used completely", () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const random = seeded(seed);
      const quota = random.integer(1, 40);
      let window = NO_WINDOW;
      let used = 0;
      for (let request = 0; request < quota; request += 1) {
        const taken = grant(window, { quota, windowMs: 1_000 }, waiting(1), 50_000 + random.integer(0, 999));
        window = taken.window;
        used += taken.grant.granted;
      }
      expect(used, `seed ${seed}`).toBe(quota);
    }
  });
});

function walk(seed: number): void {
  const random = seeded(seed);
  const limit = { quota: random.integer(1, 50), windowMs: random.pick([1_000, 5_000, 60_000]) };
  let window: RateWindow = NO_WINDOW;
  let now = random.integer(1_700_000_000_000, 1_800_000_000_000);
  const granted = new Map<number, number>();
  const add = (startedAt: number, tokens: number): void => {
    granted.set(startedAt, (granted.get(startedAt) ?? 0) + tokens);
  };
  for (let step = 0; step < 200; step += 1) {
    now += random.chance(0.3) ? random.integer(0, 3 * limit.windowMs) : random.integer(0, 20);
    if (random.chance(0.1)) now -= random.integer(0, 5 * limit.windowMs);
    const request = { want: number(random), waiting: number(random), passed: number(random) };
    const before = window;
    const taken = grant(window, limit, request, now);
    window = taken.window;
    const { grant: lease } = taken;
    const where = `seed ${seed}, step ${step}`;
    expect(window.startedAt, where).toBeGreaterThanOrEqual(before.startedAt);
    add(window.startedAt, lease.granted);
    expect(lease.granted, where).toBeLessThanOrEqual(Math.max(0, request.want || 0));
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
