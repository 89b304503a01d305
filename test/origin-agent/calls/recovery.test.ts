// Checks the decisions after a server breaks off, and the box's retry budget.
import { describe, expect, it } from "vitest";
import { recover, type BrokenCall } from "../../../origin-agent/calls/recovery.ts";
import { RetryBudget } from "../../../origin-agent/calls/retry-budget.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const CALL: BrokenCall = {
  cause: "died",
  delivered: "nothing",
  continuable: true,
  plain: true,
  deaths: 1,
  retries: 0,
  budget: true,
};

/** Spends a retry if one is left. */
function take(budget: RetryBudget, now: number): boolean {
  const left = budget.left(now);
  if (left) budget.spend(now);
  return left;
}

describe("a call whose server broke off", () => {
  it.each<[string, Partial<BrokenCall>, string]>([
    ["with nothing delivered is sent again", {}, "replay"],
    ["after a stall is sent again too", { cause: "stalled", deaths: 0 }, "replay"],
    ["after a malformed answer is sent again too, once", { cause: "malformed", deaths: 0 }, "replay"],
    ["with nothing delivered needn't be continuable", { continuable: false }, "replay"],
    ["with a part delivered is continued", { delivered: "part" }, "continue"],
    [
      "with a part delivered of a stalled one too",
      { delivered: "part", cause: "stalled", deaths: 0 },
      "continue",
    ],
    [
      "with a part of what can't be continued is given up",
      { delivered: "part", continuable: false },
      "give-up",
    ],
    ["with a part that wasn't plain text is given up", { delivered: "part", plain: false }, "give-up"],
    ["with malformed data in mid-answer is given up", { delivered: "part", cause: "malformed" }, "give-up"],
    ["with its whole text delivered is closed", { delivered: "text" }, "close"],
    [
      "with all of its text is closed, whatever else",
      { delivered: "text", deaths: 2, retries: 2, budget: false, plain: false },
      "close",
    ],
    ["at two deaths is never sent again", { deaths: 2 }, "give-up"],
    ["at two deaths is never continued", { deaths: 2, delivered: "part" }, "give-up"],
    ["is sent again a second time", { retries: 1 }, "replay"],
    ["is not sent again a third time", { retries: 2 }, "give-up"],
    ["is not sent again if the budget is used up", { budget: false }, "give-up"],
  ])("%s", (_what, other, kind) => {
    const decision = recover({ ...CALL, ...other });
    expect(decision.kind).toBe(kind);
    if (decision.kind === "give-up") expect(decision.refusal).toMatchObject({ code: "upstream_failed" });
  });

  it.each<[string, Partial<BrokenCall>]>([
    ["a call that can't be continued", { delivered: "part", continuable: false }],
    ["a call without retries left", { retries: 2 }],
    ["a box without retry budget", { budget: false }],
  ])("after a stall, for %s, gets a timeout error", (_what, other) => {
    const decision = recover({ ...CALL, deaths: 0, cause: "stalled", ...other });
    expect(decision).toMatchObject({ kind: "give-up", refusal: { code: "upstream_timeout" } });
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
