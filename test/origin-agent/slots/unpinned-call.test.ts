import { beforeEach, describe, expect, it } from "vitest";
import { ServerSlots } from "../../../origin-agent/slots/slots.ts";
import type { SlotLease, SlotRequest } from "../../../origin-agent/slots/slot-lease.ts";
import { busy, call, idle, observe as observeServer, type Seen } from "../support/slot-readings.ts";

let slots: ServerSlots;
/** A server of two unused slots, known since 1. */
beforeEach(() => {
  slots = new ServerSlots();
  observe(0.5, idle(), idle());
});

const observe = (at: number, ...seen: readonly Seen[]): ReturnType<ServerSlots["observe"]> =>
  observeServer(slots, at, ...seen);

function lease(request: SlotRequest, now: number): SlotLease {
  const leased = slots.acquire(request, now);
  if (leased === null) throw new Error("no lease");
  return leased;
}

describe("a call that can't be pinned", () => {
  const loose = call("a", { pinned: false });

  it("locks the server until its slot is seen, and has that slot then", () => {
    const out = lease(loose, 2);
    expect(out).toMatchObject({ slot: null, slots: [0], cachePrompt: false });
    expect(slots.polling).toBe(true);
    expect(slots.available).toBe(0);
    expect(slots.acquire(call(), 3)).toBeNull();
    observe(5, idle(), idle());
    expect(slots.acquire(call(), 6)).toBeNull();
    observe(25, idle(), busy(1));
    expect(out.slots).toEqual([1]);
    expect(slots.counts).toMatchObject({ leased: 1, free: 1, locked: false });
    expect(slots.polling).toBe(false);
    expect(lease(call(), 26).slot).toBe(0);
    slots.finish(out, 30);
    expect(slots.available).toBe(1);
  });

  it("leaves the caches of the slots it didn't take", () => {
    slots.finish(lease(call("b"), 2), 3);
    slots.finish(lease(call("c"), 4), 5);
    const out = lease(loose, 6);
    observe(7, busy(3), idle(2));
    slots.finish(out, 8);
    expect(lease(call("c"), 9)).toMatchObject({ slot: 1, cachePrompt: true });
    expect(lease(call("b"), 10)).toMatchObject({ slot: 0, cachePrompt: false });
  });

  it("waits until every call before it has been seen on its slot, and asks for the looks it takes", () => {
    const before = lease(call("b"), 2);
    expect(slots.polling).toBe(false);
    expect(slots.acquire(loose, 3)).toBeNull();
    expect(slots.polling).toBe(true);
    observe(4, idle(), idle());
    expect(slots.acquire(loose, 5)).toBeNull();
    observe(24, busy(1), idle());
    expect(slots.polling).toBe(false);
    expect(lease(loose, 25).slots).toEqual([1]);
    slots.finish(before, 26);
  });

  it("waits for the proof of abandoned calls, which may turn up on a slot as it would", () => {
    slots.abandon(lease(call(), 2), 3);
    expect(slots.acquire(loose, 4)).toBeNull();
    observe(10, idle(), idle());
    expect(slots.acquire(loose, 50)).toBeNull();
    observe(110, idle(), idle());
    expect(slots.acquire(loose, 111)).not.toBeNull();
  });

  it("that ends well before it was seen unlocks, its slot must be proved, and no cache is trusted", () => {
    slots.finish(lease(call("b"), 2), 3);
    slots.finish(lease(call("c"), 4), 5);
    const out = lease(loose, 6);
    observe(7, idle(1), idle(2));
    slots.finish(out, 20);
    expect(slots.counts).toMatchObject({ locked: false, awaiting: 1, free: 1 });
    expect(lease(call("c"), 21).cachePrompt).toBe(false);
    expect(observe(27, idle(3), idle(2)).freed).toEqual([0]);
    expect(lease(call("b"), 28).cachePrompt).toBe(false);
  });

  it("that is abandoned before it was seen keeps the server locked until nothing can turn up", () => {
    const out = lease(loose, 2);
    slots.abandon(out, 10);
    expect(slots.counts).toMatchObject({ locked: true });
    observe(15, idle(), idle());
    observe(100, idle(), idle());
    expect(slots.acquire(call(), 101)).toBeNull();
    expect(observe(115, idle(), idle())).toEqual({
      freed: [0],
      proved: [{ lease: out, usage: null, tookMs: 105 }],
    });
    expect(slots.counts).toMatchObject({ free: 2, locked: false });
  });

  it("that turns up after it was abandoned is followed to the end", () => {
    const out = lease(loose, 2);
    slots.abandon(out, 10);
    observe(15, idle(), idle());
    observe(27, idle(), busy(4));
    expect(slots.counts).toMatchObject({ awaiting: 2, locked: true });
    expect(observe(127, idle(), busy(4))).toEqual({ freed: [0], proved: [] });
    expect(observe(147, idle(), busy(4)).proved).toEqual([]);
    expect(slots.counts).toMatchObject({ free: 1, awaiting: 1, locked: false });
    expect(observe(167, idle(), idle(4))).toEqual({
      freed: [1],
      proved: [{ lease: out, usage: null, tookMs: 157 }],
    });
  });

  it("isn't taken for a stuck slot while it is looked for", () => {
    const before = lease(call(), 2);
    observe(3, busy(1), idle());
    lease(loose, 4);
    slots.abandon(before, 5);
    observe(20, busy(1), idle());
    expect(slots.stuck(6_000)).toEqual([]);
    expect(slots.counts.locked).toBe(true);
  });

  it("that lands before another call's end was reported takes the slot over", () => {
    const slow = lease(call("b"), 2);
    observe(3, busy(1), idle());
    const out = lease(loose, 4);
    // The first has ended on the GPU; its client reads slowly, so its end has not been reported.
    observe(20, busy(2), idle());
    expect([out.slots, slow.slots]).toEqual([[0], []]);
    expect(slots.abandon(slow, 25)).toBe(false);
    slots.finish(out, 30);
    expect(observe(40, idle(2), idle()).freed).toEqual([0]);
    expect(lease(call("b"), 41).cachePrompt).toBe(false);
  });

  it("that may have been confused with a foreign call locks the server again when it is abandoned: it may still arrive", () => {
    slots = new ServerSlots();
    observe(0.5, busy(1), idle(), idle());
    const out = lease(loose, 2);
    observe(5, busy(1), busy(2), idle());
    expect(slots.counts.locked).toBe(false);
    slots.abandon(out, 10);
    expect(slots.acquire(call(), 11)).toBeNull();
    observe(25, busy(1), idle(2), busy(3));
    observe(50, busy(1), idle(2), idle(3));
    expect(observe(125, busy(1), idle(2), idle(3)).proved).toEqual([]);
    expect(observe(150, busy(1), idle(2), idle(3)).proved).toEqual([
      { lease: out, usage: null, tookMs: 140 },
    ]);
  });

  it("that may have been confused with a foreign call frees only slots that are seen idle", () => {
    const out = lease(loose, 2);
    observe(5, busy(1), busy(2));
    expect(out.slots).toEqual([0, 1]);
    slots.finish(out, 10);
    expect(slots.counts).toMatchObject({ free: 0, foreign: 2 });
    expect(observe(20, idle(1), busy(2)).freed).toEqual([0]);
  });
});

describe("a call of several choices", () => {
  beforeEach(() => {
    slots = new ServerSlots();
    observe(1, idle(), idle(), idle());
  });

  it("needs as many free slots, is pinned to one, and has those it is seen on", () => {
    expect(slots.acquire(call(null, { choices: 4 }), 2)).toBeNull();
    const out = lease(call("a", { choices: 2 }), 3);
    expect(out).toMatchObject({ slot: 0, slots: [0, 1], cachePrompt: false });
    observe(5, busy(1), idle(), idle());
    expect(slots.acquire(call(), 6)).toBeNull();
    observe(25, busy(1), idle(), busy(2));
    expect(out.slots).toEqual([0, 2]);
    expect(lease(call(), 26).slot).toBe(1);
    slots.finish(out, 30);
    expect(slots.counts).toMatchObject({ free: 2, leased: 1 });
    // The slot it was pinned to holds its scope's words; the others are uncertain.
    expect(lease(call("a"), 31)).toMatchObject({ slot: 0, cachePrompt: true });
  });

  it("refused by the server leaves its slots to be proved: the other choices may be at work", () => {
    const out = lease(call("a", { choices: 2 }), 3);
    observe(5, busy(1), busy(2), idle());
    slots.refused(out, 10);
    expect(slots.counts).toMatchObject({ awaiting: 2, free: 1 });
    observe(20, idle(1), busy(2), idle());
    expect(observe(120, idle(1), busy(2), idle()).freed).toEqual([0]);
    observe(140, idle(1), idle(2), idle());
    expect(observe(240, idle(1), idle(2), idle()).proved).toEqual([{ lease: out, usage: null, tookMs: 230 }]);
  });
});
