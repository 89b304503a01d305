// An isolate's share of one limit: tokens that expire with their window, lease requests sized by use, refusals that
// cost none. That no limit is exceeded over many isolates is the simulation's subject (test/limits).
import { describe, expect, it } from "vitest";
import { LEASE_MARGIN_MS } from "../../../shared/limits.ts";
import { Lease, type Token } from "../../../worker/limits/lease.ts";
import { lease as granted } from "../support/limiters.ts";

const QUOTA = 100;

interface Answered {
  readonly remaining?: number;
  readonly endsInMs?: number;
  readonly at?: number;
  readonly tripMs?: number;
}

/** Sends a lease request for one that waits, and receives the answer. */
function answer(lease: Lease, tokens: number, more: Answered = {}): Token | null {
  const { remaining = 60, endsInMs = 500, at = 10_000, tripMs = 0 } = more;
  return lease.receive(lease.request(at, QUOTA), granted(tokens, endsInMs, { remaining }), at + tripMs);
}

/** A lease with so many tokens, besides the one that was waited for. */
function leaseOf(tokens: number, more: Answered = {}): Lease {
  const lease = new Lease();
  answer(lease, tokens + 1, more);
  return lease;
}

/** How many requests are admitted one after another at a moment. */
function spend(lease: Lease, now: number, max = 50): number {
  for (let count = 0; count < max; count += 1) {
    if (lease.availability(now) !== "token") return count;
    lease.take(now);
  }
  return max;
}

describe("a lease's tokens", () => {
  it("admit one request each", () => {
    expect(spend(leaseOf(3), 10_100)).toBe(3);
  });

  it("are none before the first answer", () => {
    expect(new Lease().availability(10)).toBe("none");
  });

  it("expire with their window, the margin early", () => {
    expect(spend(leaseOf(3), 10_500 - LEASE_MARGIN_MS - 1)).toBe(3);
    expect(spend(leaseOf(3), 10_500 - LEASE_MARGIN_MS)).toBe(0);
    expect(spend(leaseOf(3), 10_600)).toBe(0);
  });

  it("count the end of their window from the request, not from the answer", () => {
    const slow = { tripMs: 400 };
    expect(spend(leaseOf(3, slow), 10_470)).toBe(3);
    expect(spend(leaseOf(3, slow), 10_490)).toBe(0);
  });

  it("of an answer that comes after their window are lost", () => {
    expect(spend(leaseOf(3, { tripMs: 501 }), 10_501)).toBe(0);
  });

  it("of two answers of one window expire at the earlier end that is known", () => {
    const lease = leaseOf(3);
    answer(lease, 3, { at: 10_100, endsInMs: 390 });
    expect(spend(lease, 10_469)).toBe(5);
    const other = leaseOf(3);
    answer(other, 3, { at: 10_100, endsInMs: 390 });
    expect(other.availability(10_470)).not.toBe("token");
  });

  it("of the next window replace those of the one before", () => {
    const lease = leaseOf(3);
    answer(lease, 6, { at: 10_500, endsInMs: 1_000 });
    expect(spend(lease, 10_600)).toBe(5);
  });

  it("of an answer that came twice count once", () => {
    const lease = new Lease();
    const pending = lease.request(10_000, QUOTA);
    expect(lease.receive(pending, granted(4), 10_000)).not.toBeNull();
    expect(lease.receive(pending, granted(4), 10_001)).toBeNull();
    expect(spend(lease, 10_100)).toBe(3);
  });

  it("given back go to the next request, but not to another window", () => {
    const lease = leaseOf(1);
    const token = lease.take(10_100);
    expect(lease.availability(10_100)).toBe("none");
    lease.giveBack(token, 10_100);
    expect(spend(lease, 10_100)).toBe(1);
    answer(lease, 1, { at: 10_600, endsInMs: 1_000 });
    lease.giveBack(token, 10_600);
    expect(spend(lease, 10_600)).toBe(0);
  });
});

describe("a window that is spent", () => {
  it("refuses until it ends, without a lease request", () => {
    const lease = leaseOf(0, { remaining: 0 });
    for (const at of [10_000, 10_200, 10_499]) expect(lease.availability(at)).toBe("spent");
    expect(lease.availability(10_500)).toBe("none");
  });

  it("reports how long that is", () => {
    expect(leaseOf(0, { remaining: 0 }).left(10_160)).toEqual({ remaining: 0, resetMs: 340 });
  });

  it("admits what was leased of it", () => {
    const lease = leaseOf(2, { remaining: 0 });
    expect(spend(lease, 10_100)).toBe(2);
    expect(lease.availability(10_100)).toBe("spent");
  });

  it("is one of a large limit that has less than 1 in 128 left; a small limit is used to its last token", () => {
    const large = new Lease();
    large.receive(large.request(10_000, 1_000), granted(1, 500, { remaining: 7 }), 10_000);
    expect(large.availability(10_100)).toBe("spent");
    expect(leaseOf(0, { remaining: 1 }).availability(10_100)).toBe("none");
  });
});

describe("what is left", () => {
  it("is what the object and the isolate have, less each request that is admitted", () => {
    const lease = leaseOf(3, { remaining: 40 });
    expect(lease.left(10_100)?.remaining).toBe(43);
    spend(lease, 10_100, 2);
    expect(lease.left(10_100)?.remaining).toBe(41);
  });

  it("is unknown before the first answer, and after the window", () => {
    expect(new Lease().left(0)).toBeNull();
    expect(leaseOf(3).left(10_600)).toBeNull();
  });
});

describe("a lease request", () => {
  /** Uses `count` tokens in the isolate's second that begins at 10,000. */
  function used(count: number): Lease {
    const lease = leaseOf(count - 1, { endsInMs: 900 });
    spend(lease, 10_100, count);
    return lease;
  }

  it("for a name that was idle requests one token", () => {
    expect(new Lease().request(10_000, QUOTA).want).toBe(1);
    expect(used(20).request(13_000, QUOTA).want).toBe(1);
  });

  it("requests what the isolate used in its last window, less what can't be spent in it any more", () => {
    const { want } = used(20).request(11_000, QUOTA);
    expect(want).toBeGreaterThanOrEqual(19);
    expect(want).toBeLessThanOrEqual(20);
  });

  it("requests one token while another is expected to bring the rest", () => {
    const lease = used(20);
    lease.request(11_000, QUOTA);
    expect(lease.request(11_001, QUOTA).want).toBe(1);
  });

  it("expects a quarter of the limit at most, as the object grants it: the next one requests more", () => {
    const lease = used(40);
    expect(lease.request(11_000, QUOTA).want).toBeGreaterThan(35);
    const { want } = lease.request(11_001, QUOTA);
    expect(want).toBeGreaterThan(10);
    expect(want).toBeLessThan(20);
  });

  it("that was never answered is forgotten after a second or two: its client may have gone", () => {
    const lease = used(20);
    lease.request(11_000, QUOTA);
    for (const at of [12_100, 13_100]) answer(lease, 25, { at, endsInMs: 900 });
    spend(lease, 13_200, 24);
    expect(lease.request(14_100, QUOTA).want).toBeGreaterThan(20);
  });

  it("in the last milliseconds of a window requests one token: more would expire on the way", () => {
    const lease = used(20);
    expect(lease.request(10_890, QUOTA).want).toBe(1);
    expect(lease.request(10_900, QUOTA).want).toBeGreaterThan(1);
  });
});

describe("a top-up", () => {
  it("is requested when the tokens would last for less than two round trips, and one at a time", () => {
    const lease = leaseOf(20, { endsInMs: 900, tripMs: 50 });
    spend(lease, 10_050, 17);
    expect(lease.topUp(10_050, QUOTA)).toBeNull();
    spend(lease, 10_060, 1);
    expect(lease.topUp(10_060, QUOTA)).toMatchObject({ waiting: 0 });
    expect(lease.topUp(10_061, QUOTA)).toBeNull();
  });

  it("requests what the rest of the window needs", () => {
    const lease = leaseOf(20, { endsInMs: 1_000 });
    spend(lease, 10_500);
    expect(lease.topUp(10_500, QUOTA)?.want).toBe(11);
  });

  it("isn't requested at the end of a window, nor of one that has less than four tokens left", () => {
    const ending = leaseOf(20, { endsInMs: 900 });
    spend(ending, 10_870);
    expect(ending.topUp(10_880, QUOTA)).toBeNull();
    const low = leaseOf(20, { remaining: 3 });
    spend(low, 10_100);
    expect(low.topUp(10_100, QUOTA)).toBeNull();
  });
});
