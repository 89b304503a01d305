import { describe, expect, it } from "vitest";
import {
  recentRestarts,
  restartVerdict,
  type RestartVerdict,
} from "../../../origin-agent/slots/stuck-slot-restart.ts";
import type { SlotCounts } from "../../../origin-agent/slots/slot-lease.ts";

const NOW = 10_000_000;
const MINUTE = 60_000;
const counts = (more: Partial<SlotCounts> = {}): SlotCounts => ({
  total: 4,
  free: 3,
  leased: 0,
  awaiting: 1,
  foreign: 0,
  locked: false,
  ...more,
});

describe("a server with a stuck slot is restarted", () => {
  const at = (forMs: number, more: Partial<SlotCounts>, minutesAgo: readonly number[]): RestartVerdict =>
    restartVerdict(
      [{ slot: 0, forMs }],
      counts(more),
      minutesAgo.map((minutes) => NOW - minutes * MINUTE),
      NOW,
    );

  it.each<[string, number, Partial<SlotCounts>, number[], RestartVerdict]>([
    ["at once if the others are idle", 5_001, {}, [], { kind: "restart", stuckForMs: 5_001 }],
    [
      "not while another call runs",
      5_001,
      { leased: 1 },
      [],
      { kind: "wait", why: "others-busy", ms: 29_999 },
    ],
    [
      "not while a stranger's runs",
      6_000,
      { foreign: 1 },
      [],
      { kind: "wait", why: "others-busy", ms: 29_000 },
    ],
    ["though others run, 30 s later", 35_000, { leased: 2 }, [], { kind: "restart", stuckForMs: 35_000 }],
    [
      "not for another abandoned call's sake",
      9_000,
      { awaiting: 3 },
      [],
      { kind: "restart", stuckForMs: 9_000 },
    ],
    ["not within 10 min of the last time", 9_000, {}, [9], { kind: "wait", why: "too-soon", ms: MINUTE }],
    ["10 min after it", 9_000, {}, [10], { kind: "restart", stuckForMs: 9_000 }],
    [
      "not a fourth time in an hour",
      9_000,
      {},
      [50, 15, 30],
      { kind: "wait", why: "too-many", ms: 10 * MINUTE },
    ],
    ["a fourth time after an hour", 9_000, {}, [60, 15, 30], { kind: "restart", stuckForMs: 9_000 }],
  ])("%s", (_what, forMs, more, minutesAgo, verdict) => {
    expect(at(forMs, more, minutesAgo)).toEqual(verdict);
  });

  it("not at all if nothing is stuck", () => {
    expect(restartVerdict([], counts({ leased: 1 }), [], NOW)).toEqual({ kind: "nothing-stuck" });
  });

  it("for the one that has been stuck longest, of several", () => {
    const stuck = [6_000, 36_000, 7_000].map((forMs, slot) => ({ slot, forMs }));
    expect(restartVerdict(stuck, counts({ leased: 1 }), [], NOW)).toEqual({
      kind: "restart",
      stuckForMs: 36_000,
    });
  });
});

it("a history of restarts is bounded by the hour", () => {
  expect(recentRestarts([NOW - 61 * MINUTE, NOW - 59 * MINUTE, NOW], NOW)).toEqual([NOW - 59 * MINUTE, NOW]);
});
