// What an isolate holds of one limit: tokens that die with their window, questions in time, refusals that cost
// none. That it never exceeds a limit over many isolates is the simulation's (test/limits).
import { describe, expect, it } from "vitest";
import { LEASE_MARGIN_MS, LIMITER_TIMEOUT_MS } from "../../../shared/limits.ts";
import type { Lease } from "../../../worker/limits/lease-request.ts";
import { HeldLease, type Taken } from "../../../worker/limits/lease.ts";
import { lease } from "../support/limiters.ts";

const QUOTA = 100;

/** Asks for one that waits, and keeps the answer. The one takes a token of it, if it has any. */
function answered(held: HeldLease<string>, told: Lease, sentAt: number, cameAt = sentAt): Taken | null {
  return held.keep(held.ask(sentAt, QUOTA), told, "told", Math.min(1, told.granted), cameAt);
}

function holding(
  tokens: number,
  more: { endsInMs?: number; at?: number; tripMs?: number } & Partial<Lease> = {},
) {
  const { endsInMs = 500, at = 10_000, tripMs = 0, ...rest } = more;
  const held = new HeldLease<string>(at);
  answered(held, lease(tokens + 1, endsInMs, rest), at, at + tripMs);
  return held;
}

/** How many requests are let in one after another at a moment. */
function spend(held: HeldLease<string>, now: number, most = 50): number {
  for (let count = 0; count < most; count += 1) {
    const standing = held.standing(now);
    if (standing !== "token" && standing !== "pair") return count;
    held.take(standing);
  }
  return most;
}

describe("a lease's tokens", () => {
  it("let in one request each", () => {
    expect(spend(holding(3), 10_100)).toBe(3);
  });

  it("are none before anybody asked", () => {
    expect(new HeldLease(0).standing(10)).toBe("ask");
  });

  it("die with their window, the margin early", () => {
    expect(spend(holding(3), 10_500 - LEASE_MARGIN_MS - 3)).toBe(3);
    expect(spend(holding(3), 10_500 - LEASE_MARGIN_MS)).toBe(0);
    expect(spend(holding(3), 10_600)).toBe(0);
  });

  it("count their window's end from the question, not from the answer", () => {
    const slow = { tripMs: 400 };
    expect(spend(holding(3, slow), 10_470)).toBe(3);
    expect(spend(holding(3, slow), 10_490)).toBe(0);
  });

  it("of an answer that took more than half a window aren't kept, since it can't be told which window's they are", () => {
    expect(spend(holding(3, { endsInMs: 990, tripMs: 501 }), 10_502)).toBe(0);
  });

  it("of an answer that came twice are kept once", () => {
    const held = new HeldLease<string>(10_000);
    const ticket = held.ask(10_000, QUOTA);
    held.keep(ticket, lease(4), "told", 1, 10_000);
    held.keep(ticket, lease(4), "told", 1, 10_001);
    expect(spend(held, 10_100)).toBe(3);
  });

  it("given back are the next request's, but not another window's", () => {
    const held = holding(1, { endsInMs: 500 });
    held.standing(10_100);
    const taken = held.take("token");
    held.giveBack(taken, 10_100);
    expect(held.standing(10_100)).toBe("token");
    held.take("token");
    answered(held, lease(1, 1_000), 10_600);
    held.giveBack(taken, 10_600);
    expect(spend(held, 10_600)).toBe(0);
  });

  it("are gone with a clock that stepped back, and so is what is still on its way", () => {
    const held = holding(3);
    const ticket = held.ask(10_100, QUOTA);
    held.forget();
    held.keep(ticket, lease(4), "told", 1, 10_100);
    expect(held.standing(10_100)).toBe("ask");
    expect(held.isTold(10_100)).toBe(false);
  });
});

describe("the next window's tokens", () => {
  const next = { granted: 5, remaining: 50, startsInMs: 200, endsInMs: 1_200 };

  it("wait for it to begin for sure", () => {
    const held = holding(0, { endsInMs: 200, remaining: 0, next, tripMs: 40 });
    expect(held.standing(10_240)).toBe("spent");
    expect(spend(held, 10_243)).toBe(5);
  });

  it("die a second after they were asked for, the margin early, though their window goes on", () => {
    const made = (): HeldLease<string> => holding(0, { endsInMs: 200, remaining: 0, next });
    expect(spend(made(), 10_979)).toBe(5);
    expect(spend(made(), 10_980)).toBe(0);
  });

  it("go with one of this window's each while it can't be told which of the two it is", () => {
    const held = holding(2, { endsInMs: 200, remaining: 0, next, tripMs: 40 });
    expect(held.standing(10_200)).toBe("pair");
    expect(spend(held, 10_200)).toBe(2);
    expect(spend(held, 10_300)).toBe(3);
  });

  it("are this window's where the answer comes when it has begun", () => {
    const held = new HeldLease<string>(10_000);
    answered(held, lease(1, 100, { next: { ...next, startsInMs: 100, endsInMs: 1_100 } }), 10_000, 10_200);
    expect(spend(held, 10_310)).toBe(5);
  });
});

describe("a window that is spent", () => {
  it("refuses until it ends, and asks nobody", () => {
    const held = holding(0, { remaining: 0 });
    for (const at of [10_000, 10_200, 10_499]) expect(held.standing(at)).toBe("spent");
    expect(held.standing(10_503)).toBe("ask");
  });

  it("says how long that is", () => {
    expect(holding(0, { remaining: 0 }).left(10_160)).toEqual({ remaining: 0, resetMs: 340 });
  });

  it("is one of which those that wait take all that is left", () => {
    const held = holding(0, { remaining: 2 });
    expect(held.standing(10_100)).toBe("ask");
    held.ask(10_100, QUOTA);
    expect(held.standing(10_100)).toBe("ask");
    held.ask(10_100, QUOTA);
    expect(held.standing(10_100)).toBe("spent");
    // Those two got no answer: others may ask again.
    expect(held.standing(10_100 + LIMITER_TIMEOUT_MS)).toBe("ask");
  });
});

describe("what is left", () => {
  it("is what the object has and what is held, less each request that is let in", () => {
    const held = holding(3, { remaining: 40 });
    expect(held.left(10_100)?.remaining).toBe(43);
    spend(held, 10_100, 2);
    expect(held.left(10_100)?.remaining).toBe(41);
  });

  it("is unknown before the first answer, and after the window", () => {
    expect(new HeldLease(0).left(0)).toBeNull();
    expect(holding(3).left(10_600)).toBeNull();
  });
});

describe("questions ahead", () => {
  /** One request each `everyMs`, until the isolate asks ahead. */
  function asksAt(held: HeldLease<string>, from: number, everyMs: number, until: number) {
    for (let now = from; now < until; now += everyMs) {
      const standing = held.standing(now);
      if (standing === "token") held.take(standing);
      const ticket = held.askAhead(now, QUOTA);
      if (ticket !== null) return { now, want: ticket.want, wantNext: ticket.wantNext };
    }
    return null;
  }

  it("come before the tokens run out, for what the demand needs", () => {
    const asked = asksAt(holding(30, { endsInMs: 1_000, remaining: 60 }), 10_000, 10, 11_000);
    expect(asked?.now).toBeLessThan(10_300);
    expect(asked?.want).toBeGreaterThan(5);
  });

  it("prepare the next window before it begins", () => {
    const asked = asksAt(holding(80, { endsInMs: 700, remaining: 60 }), 10_000, 20, 10_700);
    expect(asked?.wantNext).toBeGreaterThan(5);
    expect(asked?.now).toBeGreaterThanOrEqual(10_400);
  });

  it("don't come for a name that hardly anybody asks for", () => {
    expect(asksAt(holding(3, { endsInMs: 900, remaining: 60 }), 10_000, 800, 10_900)).toBeNull();
  });

  it("come no faster than paced, however many requests do", () => {
    const held = holding(0, { endsInMs: 1_000, remaining: 60 });
    let questions = 0;
    for (let now = 10_000; now < 10_900; now += 1) {
      held.standing(now);
      if (held.askAhead(now, QUOTA) !== null) questions += 1;
    }
    expect(questions).toBeLessThanOrEqual(12);
  });
});
