import { describe, expect, it } from "vitest";
import { recentRestarts, restartDue } from "../../../origin-agent/slots/stuck-slot-restart.ts";
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
  it.each<[string, number, Partial<SlotCounts>, number[], "restart" | null]>([
    ["at once if the others are idle", 5_001, {}, [], "restart"],
    ["not while another call runs", 5_001, { leased: 1 }, [], null],
    ["not while a stranger's runs", 6_000, { foreign: 1 }, [], null],
    ["not 1 ms too soon, while others run", 34_999, { leased: 2 }, [], null],
    ["though others run, 30 s later", 35_000, { leased: 2 }, [], "restart"],
    ["for one abandoned call, while another waits for its proof", 9_000, { awaiting: 3 }, [], "restart"],
    ["not within 10 min of the last time", 9_000, {}, [9], null],
    ["10 min after it", 9_000, {}, [10], "restart"],
    ["not a fourth time in an hour", 9_000, {}, [50, 15, 30], null],
    ["a fourth time after an hour", 9_000, {}, [60, 15, 30], "restart"],
  ])("%s", (_what, forMs, more, minutesAgo, due) => {
    const restarts = minutesAgo.map((minutes) => NOW - minutes * MINUTE);
    const expected = due === "restart" ? forMs : null;
    expect(restartDue([{ slot: 0, forMs }], counts(more), restarts, NOW)).toBe(expected);
  });

  it("not at all if nothing is stuck", () => {
    expect(restartDue([], counts({ leased: 1 }), [], NOW)).toBe(null);
  });

  it("for the one that has been stuck longest, of several", () => {
    const stuck = [6_000, 36_000, 7_000].map((forMs, slot) => ({ slot, forMs }));
    expect(restartDue(stuck, counts({ leased: 1 }), [], NOW)).toBe(36_000);
  });
});

it("a history of restarts is bounded by the hour", () => {
  expect(recentRestarts([NOW - 61 * MINUTE, NOW - 59 * MINUTE, NOW], NOW)).toEqual([NOW - 59 * MINUTE, NOW]);
});
