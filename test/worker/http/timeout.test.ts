// One timer limits all phases of a call: each has its full time, and none keeps a timer behind.
import { beforeEach, afterEach, describe, expect, it, vi } from "vitest";
import { PhaseTimer } from "../../../worker/http/timeout.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

const never = new Promise<never>(() => undefined);

describe("a phase of a call", () => {
  it("resolves with its work, and the next one needs no second timer", async () => {
    const timer = new PhaseTimer(() => Date.now());
    expect(await timer.limit(Promise.resolve(1), 1_000)).toBe(1);
    expect(vi.getTimerCount()).toBe(1);
    expect(await timer.limit(Promise.resolve(2), 1_000)).toBe(2);
    expect(vi.getTimerCount()).toBe(1);
    timer.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects with its work's error", async () => {
    const timer = new PhaseTimer(() => Date.now());
    await expect(timer.limit(Promise.reject(new Error("no")), 1_000)).rejects.toThrow("no");
    timer.end();
  });

  it("has its whole time, whenever the phase before it began", async () => {
    const timer = new PhaseTimer(() => Date.now());
    await timer.limit(Promise.resolve(1), 1_000);
    await vi.advanceTimersByTimeAsync(900);
    let outcome: unknown = "waiting";
    void timer.limit(never, 1_000).then((value) => (outcome = value));
    await vi.advanceTimersByTimeAsync(999);
    expect(outcome).toBe("waiting");
    await vi.advanceTimersByTimeAsync(1);
    expect(outcome).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that ended is not ended again when the timer fires between phases", async () => {
    const timer = new PhaseTimer(() => Date.now());
    await timer.limit(Promise.resolve(1), 1_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(vi.getTimerCount()).toBe(0);
    expect(await timer.limit(Promise.resolve(2), 1_000)).toBe(2);
    timer.end();
  });
});
