// Checks what follows a failed try, and the box's retry budget.
import { describe, expect, it } from "vitest";
import { nextTry, type CallSoFar, type Failure, type NextTry } from "../../../origin-agent/calls/next-try.ts";
import { RetryBudget } from "../../../origin-agent/calls/retry-budget.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const CALL: CallSoFar = {
  delivered: "nothing",
  continuable: true,
  plain: true,
  deaths: 0,
  retries: 0,
  uncounted: 0,
  budget: true,
};

const REPLAY: NextTry = { kind: "replay", isRetry: true };
const CONTINUE: NextTry = { kind: "continue", isRetry: true };
const CLOSE: NextTry = { kind: "close" };
const SEARCH: NextTry = { kind: "replay", isRetry: false };
const SEARCH_MODEL: NextTry = { kind: "continue", isRetry: false };
/** Of a refusal after which no client may send the request again. */
const retry = "never";
const GIVE_UP = { kind: "give-up", isPoison: false, refusal: { code: "upstream_failed" } };
const NEVER_AGAIN = { kind: "give-up", isPoison: false, refusal: { retry } };
const POISON = { kind: "give-up", isPoison: true, refusal: { code: "upstream_failed", retry } };
const TIMED_OUT = { kind: "give-up", isPoison: false, refusal: { code: "upstream_timeout" } };

/** Spends a retry if one is left. */
function take(budget: RetryBudget, now: number): boolean {
  const left = budget.left(now);
  if (left) budget.spend(now);
  return left;
}

describe("a try that failed", () => {
  it.each<[Failure, object, object]>([
    ["refused", SEARCH, SEARCH_MODEL],
    ["loading", SEARCH, SEARCH_MODEL],
    ["unconnected", REPLAY, CONTINUE],
    ["cut", REPLAY, CONTINUE],
    ["stalled", REPLAY, CONTINUE],
    ["malformed", REPLAY, GIVE_UP],
    ["oversized", NEVER_AGAIN, NEVER_AGAIN],
  ])("(%s) is followed by this, with nothing and with a part delivered", (failure, nothing, part) => {
    expect(nextTry(failure, CALL)).toMatchObject(nothing);
    expect(nextTry(failure, { ...CALL, delivered: "part" })).toMatchObject(part);
    expect(nextTry(failure, { ...CALL, delivered: "text" })).toEqual(CLOSE);
  });

  it("by a death is sent again or continued once, and never after the second", () => {
    expect(nextTry("died", { ...CALL, deaths: 1 })).toEqual(REPLAY);
    expect(nextTry("died", { ...CALL, deaths: 1, delivered: "part" })).toEqual(CONTINUE);
    expect(nextTry("died", { ...CALL, deaths: 2 })).toMatchObject(POISON);
    expect(nextTry("died", { ...CALL, deaths: 2, delivered: "part" })).toMatchObject(POISON);
  });

  it("for want of a count is searched for three times, and costs no retry", () => {
    const part = { ...CALL, delivered: "part", retries: 2 } as const;
    expect(nextTry("uncounted", { ...part, uncounted: 3 })).toEqual(SEARCH_MODEL);
    expect(nextTry("uncounted", { ...part, uncounted: 4 })).toMatchObject(GIVE_UP);
  });

  it.each<[string, Partial<CallSoFar>, object]>([
    ["needn't be continuable with nothing delivered", { continuable: false }, REPLAY],
    [
      "is given up with a part of what can't be continued",
      { delivered: "part", continuable: false },
      GIVE_UP,
    ],
    ["is given up with a part that wasn't plain text", { delivered: "part", plain: false }, GIVE_UP],
    ["is sent again a second time", { retries: 1 }, REPLAY],
    ["is not sent again a third time", { retries: 2 }, GIVE_UP],
    ["is not sent again if the budget is used up", { budget: false }, GIVE_UP],
    [
      "is closed with all of its text, whatever else",
      { delivered: "text", deaths: 2, retries: 2, budget: false, plain: false },
      CLOSE,
    ],
  ])("%s", (_what, other, expected) => {
    expect(nextTry("cut", { ...CALL, ...other })).toMatchObject(expected);
  });

  it.each<[string, Partial<CallSoFar>]>([
    ["a call that can't be continued", { delivered: "part", continuable: false }],
    ["a call without retries left", { retries: 2 }],
    ["a box without retry budget", { budget: false }],
  ])("by a stall, for %s, gets a timeout error", (_what, other) => {
    expect(nextTry("stalled", { ...CALL, ...other })).toMatchObject(TIMED_OUT);
  });
});

describe("the retry budget", () => {
  it("is 20 per minute for a quiet box and is restored a minute later", () => {
    const budget = new RetryBudget();
    const spent = (now: number): number =>
      Array.from({ length: 50 }, () => take(budget, now)).filter(Boolean).length;
    expect(spent(5_500)).toBe(20);
    expect(spent(64_999)).toBe(0);
    expect(spent(65_000)).toBe(20);
  });

  it.each(SEEDS.slice(0, 5))(
    "never allows more than a tenth of a minute's calls, or 20 (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      const budget = new RetryBudget();
      const calls: number[] = [];
      const retries: number[] = [];
      let now = 1_000_000;
      const within = (times: number[]): number =>
        times.filter((at) => Math.floor(at / 1000) > Math.floor(now / 1000) - 60).length;
      for (let step = 0; step < 5_000; step += 1) {
        now += random.below(random.pick([3, 30, 300]));
        if (random.chance(0.7)) {
          budget.called(now);
          calls.push(now);
        } else {
          const may = within(retries) < Math.max(20, within(calls) * 0.1);
          expect(take(budget, now)).toBe(may);
          if (may) retries.push(now);
        }
      }
      expect(retries.length).toBeGreaterThan(20);
    },
  );
});
