import { describe, expect, it } from "vitest";
import { CLOCK_OFF_MS } from "../../../shared/wire.ts";
import { bookBatch, sumsOf } from "../../../worker/usage/booking.ts";
import { call } from "../support/usage.ts";

const NOON = Date.parse("2026-11-23T12:20:00Z");
const HOUR = Date.parse("2026-11-23T12:00:00Z");
const at = (seq: number, more = {}) => call(seq, { startedAt: NOON, ...more });

describe("a batch", () => {
  it("is booked from the last booked seq on", () => {
    const booked = bookBatch(5, { ackedSeq: 3, calls: [at(4), at(5), at(7)] }, NOON);
    expect(booked.lastSeq).toBe(7);
    expect(booked.entries).toMatchObject([{ calls: 1, hour: HOUR, key: "key-a" }]);
  });

  it("that leaves a gap books nothing and returns the seq to continue from", () => {
    expect(bookBatch(5, { ackedSeq: 6, calls: [at(7)] }, NOON)).toEqual({
      lastSeq: 5,
      entries: [],
      misdated: 0,
    });
  });

  it.each([
    ["descends", [at(7), at(6)]],
    ["repeats", [at(6), at(6)]],
    ["starts at a seq that was acknowledged", [at(5), at(6)]],
  ])("whose seq %s books nothing", (_, calls) => {
    expect(bookBatch(5, { ackedSeq: 5, calls }, NOON)).toEqual({ lastSeq: 5, entries: [], misdated: 0 });
  });

  it("is summed by hour, key, model and agent type", () => {
    const calls = [
      at(1),
      at(2),
      at(3, { keyId: "key-b" }),
      at(4, { model: "Model-2" }),
      at(5, { agentType: "Beta" }),
      at(6, { startedAt: NOON - 3_600_000 }),
    ];
    const { entries } = bookBatch(0, { ackedSeq: 0, calls }, NOON);
    expect(entries.map((entry) => entry.calls)).toEqual([2, 1, 1, 1, 1]);
  });

  it("books a call under the hour of its arrival, and counts it as misdated, if its date is far off", () => {
    const calls = [
      at(1, { startedAt: NOON + CLOCK_OFF_MS }),
      at(2, { startedAt: NOON + CLOCK_OFF_MS + 1 }),
      at(3, { startedAt: NOON - 91 * 24 * 3_600_000 }),
      at(4, { startedAt: 0 }),
    ];
    const { entries, misdated } = bookBatch(0, { ackedSeq: 0, calls }, NOON);
    expect(misdated).toBe(3);
    expect(entries.map((entry) => entry.hour)).toEqual([HOUR]);
  });
});

describe("a call's sums", () => {
  it("mark unknown token counts as estimated", () => {
    expect(sumsOf(at(1, { outcome: "interrupted", promptTokens: null, completionTokens: null }))).toEqual({
      calls: 1,
      complete: 0,
      promptTokens: 0,
      cachedTokens: 4,
      completionTokens: 0,
      estimatedCalls: 1,
    });
  });

  it("are bounded: a figure beyond any context is cut, and the call is marked as estimated", () => {
    const sums = sumsOf(at(1, { completionTokens: Number.MAX_SAFE_INTEGER }));
    expect(sums.completionTokens).toBeLessThan(1e9);
    expect(sums.estimatedCalls).toBe(1);
  });
});
