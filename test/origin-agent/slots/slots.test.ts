import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { ServerSlots } from "../../../origin-agent/slots/slots.ts";
import type { SlotLease, SlotRequest } from "../../../origin-agent/slots/slot-lease.ts";
import {
  busy,
  call,
  idle,
  look,
  observe as observeServer,
  reading,
  type Seen,
} from "../support/slot-readings.ts";

let slots: ServerSlots;
/** A server of two unused slots, known since 1. */
beforeEach(() => {
  slots = new ServerSlots();
  slots.observe(look(idle(), idle()), 0, 1);
});

const observe = (at: number, ...seen: readonly Seen[]): ReturnType<ServerSlots["observe"]> =>
  observeServer(slots, at, ...seen);

function lease(request: SlotRequest, now: number): SlotLease {
  const leased = slots.acquire(request, now);
  if (leased === null) throw new Error("no lease");
  return leased;
}

describe("what is known of a server", () => {
  it("is nothing before the first look, and no lease is given", () => {
    const unknown = new ServerSlots();
    expect(unknown.counts).toEqual({
      total: 0,
      free: 0,
      leased: 0,
      awaiting: 0,
      foreign: 0,
      locked: false,
    });
    expect(unknown.acquire(call(), 5)).toBeNull();
    expect(unknown.polling).toBe(false);
  });

  it("is as many slots as the first look shows, the busy ones foreign until they are seen idle", () => {
    slots = new ServerSlots();
    observe(1, busy(7), idle());
    expect(slots.counts).toMatchObject({ total: 2, free: 1, foreign: 1 });
    expect(slots.polling).toBe(true);
    expect(lease(call(), 2).slot).toBe(1);
    expect(slots.acquire(call(), 3)).toBeNull();
    expect(observe(20, busy(8), busy(9)).freed).toEqual([]);
    expect(observe(40, idle(8), busy(9))).toEqual({ freed: [0], proved: [] });
    expect(slots.polling).toBe(false);
  });

  it("takes readings as real servers give them", () => {
    const transcripts = JSON.parse(
      readFileSync(new URL("../../fixtures/llama-transcripts.json", import.meta.url), "utf8"),
    ) as { name: string; response: { body: string } }[];
    const counted = ["slots-idle", "slots-busy", "slots-after-abort", "slots-progress"].map((name) => {
      const body = transcripts.find((entry) => entry.name === name)?.response.body ?? "[]";
      const shown = JSON.parse(body) as { id: number; is_processing: boolean; id_task?: number }[];
      const server = new ServerSlots();
      server.observe(
        shown.map(({ id, is_processing, id_task }) =>
          reading(id, { busy: is_processing, task: id_task ?? null }),
        ),
        0,
        1,
      );
      return [name, server.counts.free, server.counts.foreign];
    });
    expect(counted).toEqual([
      ["slots-idle", 4, 0],
      ["slots-busy", 0, 4],
      ["slots-after-abort", 4, 0],
      ["slots-progress", 3, 1],
    ]);
  });

  it("is another server's once the number of slots has changed", () => {
    const old = lease(call(), 2);
    observe(3, idle(), idle(), idle());
    expect(slots.counts).toMatchObject({ total: 3, free: 3 });
    slots.finish(old, 4);
    expect(slots.counts).toMatchObject({ free: 3 });
  });

  it("is bounded, whatever a server answers", () => {
    slots = new ServerSlots();
    observe(1, ...Array.from({ length: 10_000 }, () => idle()));
    expect(slots.counts.total).toBe(256);
    observe(2, ...Array.from({ length: 10_000 }, () => idle()));
    expect(slots.counts.free).toBe(256);
    slots.observe([], 3, 3);
    expect(slots.counts.total).toBe(256);
  });
});

describe("a lease", () => {
  it("is exclusive, and none is given beyond the free slots", () => {
    expect([lease(call(), 2).slot, lease(call(), 3).slot]).toEqual([0, 1]);
    expect(slots.acquire(call(), 4)).toBeNull();
    expect(slots.available).toBe(0);
  });

  it("that ends cleanly frees at once, with no look", () => {
    const first = lease(call(), 2);
    lease(call(), 3);
    slots.finish(first, 10);
    expect(slots.polling).toBe(false);
    expect(lease(call(), 10).slot).toBe(first.slot);
  });

  it("ends once: what is said of it afterwards does nothing", () => {
    const first = lease(call("a"), 2);
    slots.finish(first, 3);
    slots.finish(first, 4);
    expect(slots.abandon(first, 5)).toBe(false);
    slots.refused(first, 6);
    expect(slots.counts).toMatchObject({ free: 2, awaiting: 0 });
    expect(lease(call("a"), 7).cachePrompt).toBe(true);
  });

  it("is void once the server's process is gone, and the abandoned calls are proved by that", () => {
    const running = lease(call("a"), 2);
    const aborted = lease(call("b"), 3);
    slots.abandon(aborted, 10);
    expect(slots.forget(14)).toEqual([{ lease: aborted, usage: null, tookMs: 4 }]);
    expect(slots.counts.total).toBe(0);
    expect(slots.polling).toBe(false);
    observe(20, idle(), idle());
    const fresh = [lease(call("a"), 21), lease(call("b"), 22)];
    expect(fresh.map(({ cachePrompt }) => cachePrompt)).toEqual([false, false]);
    slots.finish(running, 23);
    expect(slots.abandon(running, 24)).toBe(false);
    expect(slots.counts).toMatchObject({ leased: 2 });
  });

  it("isn't shaken by a reading that was asked for before the process went", () => {
    slots.forget(10);
    slots.observe(look(busy(1), idle()), 9, 11);
    expect(slots.counts.total).toBe(0);
  });
});

describe("which slot", () => {
  const finishAt = (request: SlotRequest, from: number, to: number): number | null => {
    const done = lease(request, from);
    slots.finish(done, to);
    return done.slot;
  };

  it("the one that served this scope last, else one without a useful cache, else the one that was free longest", () => {
    const seven = lease(call("seven"), 2);
    const nine = lease(call("nine"), 3);
    slots.finish(nine, 4);
    slots.finish(seven, 5);
    expect(finishAt(call("seven"), 6, 7)).toBe(0);
    expect(finishAt(call("nine"), 8, 9)).toBe(1);
    // Neither is this scope's: 0 has been free since 7, 1 since 9.
    expect(finishAt(call(null), 10, 11)).toBe(0);
    // 0 holds no scope's text now, so nine's cache survives although it is older.
    expect(finishAt(call("ten"), 12, 13)).toBe(0);
    expect(lease(call("nine"), 14)).toMatchObject({ slot: 1, cachePrompt: true });
  });

  it("one never used before one that was", () => {
    expect(finishAt(call(null), 2, 3)).toBe(0);
    expect(finishAt(call(null), 4, 5)).toBe(1);
    expect(finishAt(call(null), 6, 7)).toBe(0);
  });
});

describe("the cache", () => {
  const turn = (scope: string | null, from: number): boolean => {
    const taken = lease(call(scope), from);
    slots.finish(taken, from + 1);
    return taken.cachePrompt;
  };
  beforeEach(() => {
    slots = new ServerSlots();
    observe(0.5, idle());
  });

  it("is reused only by the scope whose text is in it", () => {
    const scopes = ["a", "a", "b", "a", null, null, "a"];
    expect(scopes.map((scope, at) => turn(scope, 2 + 2 * at))).toEqual([
      false,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  it.each<[string, (taken: SlotLease) => void]>([
    ["an abort", (taken) => slots.abandon(taken, 5)],
    ["an error as the answer", (taken) => slots.refused(taken, 5)],
    ["the loss of the process", () => slots.forget(5)],
  ])("is not read again after %s", (_what, end) => {
    turn("a", 2);
    end(lease(call("a"), 4));
    observe(10, idle(1));
    observe(200, idle(1));
    expect(turn("a", 300)).toBe(false);
  });

  it("is not read again after a stranger was seen at work", () => {
    turn("a", 2);
    observe(10, busy(5));
    observe(20, idle(5));
    expect(turn("a", 30)).toBe(false);
    expect(turn("a", 40)).toBe(true);
  });

  it("is not read again on any slot once a stranger was seen on one, nor by who was at work then", () => {
    slots = new ServerSlots();
    observe(0.5, idle(), idle(), idle());
    const before = lease(call("b"), 1);
    slots.finish(lease(call("a"), 2), 3);
    const across = lease(call("c"), 4);
    expect([before.slot, across.slot]).toEqual([0, 2]);
    observe(10, busy(1), busy(5), busy(3));
    observe(30, busy(1), idle(5), busy(3));
    slots.finish(across, 31);
    expect(lease(call("c"), 32)).toMatchObject({ slot: 1, cachePrompt: false });
    slots.finish(before, 33);
    expect(lease(call("a"), 34).cachePrompt).toBe(false);
  });

  it("is not read again after a stranger came and went between two looks", () => {
    turn("a", 2);
    observe(10, idle(1));
    observe(20, idle(2));
    expect(turn("a", 30)).toBe(false);
  });

  it("is neither read nor remembered while a stranger is at work on another slot", () => {
    slots = new ServerSlots();
    observe(0.5, busy(1), idle());
    expect([turn("a", 2), turn("a", 4)]).toEqual([false, false]);
    const over = lease(call("a"), 6);
    observe(10, idle(1), busy(2));
    slots.finish(over, 12);
    // It ran beside the stranger, which may have had its turn on the slot after it.
    expect(turn("a", 14)).toBe(false);
    expect(turn("a", 16)).toBe(true);
  });

  it("is neither read nor remembered while another agent may lease the same slots", () => {
    turn("a", 2);
    slots.share(true);
    expect([turn("a", 4), turn("a", 6)]).toEqual([false, false]);
    const across = lease(call("a"), 8);
    slots.share(false);
    slots.finish(across, 10);
    expect([turn("a", 12), turn("a", 14)]).toEqual([false, true]);
  });

  it("is not read by a call of several choices, nor by one that can't be pinned", () => {
    slots = new ServerSlots();
    observe(0.5, idle(), idle());
    turn("a", 2);
    const several = lease(call("a", { choices: 2 }), 4);
    observe(5, busy(2), busy(3));
    slots.finish(several, 6);
    const loose = lease(call("a", { pinned: false }), 8);
    expect([several.cachePrompt, loose.cachePrompt]).toEqual([false, false]);
  });
});

describe("an abandoned call", () => {
  it("holds its slot, and the server is polled, until the slot is idle with another task than before", () => {
    observe(2, idle(4), idle(5));
    const aborted = lease(call("a"), 3);
    expect(slots.abandon(aborted, 10)).toBe(true);
    expect(slots.polling).toBe(true);
    expect(observe(20, busy(6), idle(5))).toEqual({ freed: [], proved: [] });
    expect(slots.counts).toMatchObject({ awaiting: 1, free: 1 });
    expect(observe(40, idle(6), idle(5))).toEqual({
      freed: [0],
      proved: [{ lease: aborted, usage: null, tookMs: 30 }],
    });
    expect(slots.polling).toBe(false);
  });

  it("is proved by another task even if the slot was never seen busy", () => {
    observe(2, idle(4), idle(5));
    slots.abandon(lease(call(), 3), 10);
    expect(observe(20, idle(6), idle(5)).freed).toEqual([0]);
  });

  it("is not proved by a task that may be an earlier call's", () => {
    observe(2, idle(4), idle(5));
    // This one ran unseen, as task 6, and ended well.
    slots.finish(lease(call(), 3), 5);
    const aborted = lease(call(), 6);
    expect(aborted.slot).toBe(1);
    slots.finish(aborted, 7);
    slots.abandon(lease(call(), 8), 10);
    expect(observe(20, idle(6), idle(5)).freed).toEqual([]);
    // 17 ms after the close it turned busy after all.
    expect(observe(27, busy(8), idle(5)).freed).toEqual([]);
    expect(observe(47, idle(8), idle(5)).freed).toEqual([0]);
  });

  it("that may never have reached its slot is proved by 100 ms of idleness without a break", () => {
    slots.abandon(lease(call(), 3), 10);
    expect(observe(20, idle(), idle()).freed).toEqual([]);
    expect(observe(119, idle(), idle()).freed).toEqual([]);
    expect(observe(120, idle(), idle()).freed).toEqual([0]);
  });

  it("counts idleness from when the first look had come back to when the last was asked for", () => {
    slots.abandon(lease(call(), 3), 10);
    slots.observe(look(idle(), idle()), 20, 60);
    expect(slots.observe(look(idle(), idle()), 140, 170).freed).toEqual([]);
    expect(slots.observe(look(idle(), idle()), 160, 170).freed).toEqual([0]);
  });

  it("starts the 100 ms again when the slot turns busy late", () => {
    const aborted = lease(call(null, { choices: 2 }), 3);
    slots.abandon(aborted, 10);
    observe(20, idle(), idle());
    observe(60, busy(3), idle());
    observe(80, idle(3), idle());
    expect(observe(130, idle(3), idle()).proved).toEqual([]);
    expect(observe(180, idle(3), idle()).proved).toEqual([{ lease: aborted, usage: null, tookMs: 170 }]);
    expect(slots.counts).toMatchObject({ free: 2, locked: false });
  });

  it("is not proved by a look that was asked for before it was abandoned", () => {
    observe(2, idle(4), idle(5));
    slots.abandon(lease(call(), 3), 10);
    expect(slots.observe(look(idle(6), idle(5)), 9, 12).freed).toEqual([]);
    expect(slots.observe(look(idle(6), idle(5)), 11, 12).freed).toEqual([0]);
  });

  it("seen at work before the abort is proved by the first idle look", () => {
    const aborted = lease(call(), 3);
    observe(5, busy(1), idle());
    slots.abandon(aborted, 10);
    expect(observe(11, idle(1), idle()).proved).toEqual([{ lease: aborted, usage: null, tookMs: 1 }]);
  });

  it("that has made way for a stranger's is proved, but its slot isn't free", () => {
    const aborted = lease(call(), 3);
    observe(5, busy(1), idle());
    slots.abandon(aborted, 10);
    expect(observe(20, busy(2), idle())).toEqual({
      freed: [],
      proved: [{ lease: aborted, usage: null, tookMs: 10 }],
    });
    expect(slots.counts).toMatchObject({ foreign: 1, awaiting: 0 });
    expect(slots.stuck(60_000)).toEqual([]);
  });

  it("whose slot stays busy is stuck after 5 s, and routed around", () => {
    slots.abandon(lease(call(), 3), 10);
    observe(20, busy(1), idle());
    observe(5_010, busy(1), idle());
    expect(slots.stuck(5_010)).toEqual([]);
    expect(slots.stuck(5_011)).toEqual([{ slot: 0, forMs: 5_001 }]);
    expect(slots.available).toBe(1);
    expect(lease(call(null, { pinned: false }), 5_012).slots).toEqual([1]);
  });
});
