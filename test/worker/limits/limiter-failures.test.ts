// Limiter objects that fail or answer slowly: every failure is a refusal, never a guess.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { FAILED_KEYS_A_MINUTE, LIMITER_TIMEOUT_MS } from "../../../shared/limits.ts";
import type { KeyLeaseAnswer } from "../../../worker/limits/lease-request.ts";
import { BAD_KEY, EXEMPT, limiterStage } from "../support/limiter-stage.ts";
import { known, lease } from "../support/limiters.ts";

describe("an answer that is slow", () => {
  /** The first answer takes 1.5 s, the next ones no time. */
  function slowOnce(first: KeyLeaseAnswer): ReturnType<typeof limiterStage> {
    let calls = 0;
    const stage = limiterStage({
      key: () => {
        calls += 1;
        if (calls > 1) return known(lease(1, 500, { remaining: 5 }), EXEMPT);
        stage.clock.now += 1_500;
        return first;
      },
    });
    return stage;
  }

  it("leaves time for a second try: the limiter's time-out of 2 s was in fact 0.98 s", async () => {
    const stage = slowOnce(known(lease(1), EXEMPT));
    expect(await stage.admit()).toMatchObject({ ok: true });
    expect(stage.keys.stubs.length).toBe(2);
  });

  it.each<[string, KeyLeaseAnswer, string]>([
    ["an unknown key", { kind: "unknown" }, "invalid_key"],
    ["an expired key", { kind: "expired" }, "expired_key"],
    ["a spent window", known(lease(0), EXEMPT), "rate_limited_key"],
    [
      "a month that is used up",
      known(lease(1), { limits: { perSecond: 10, concurrent: null, tokensPerMonth: 5 } }, true),
      "quota_exceeded",
    ],
  ])("still refuses %s: its refusal was lost", async (_, answer, code) => {
    const stage = slowOnce(answer);
    expect(await stage.admit()).toMatchObject({ ok: false, refusal: { code } });
    expect(stage.keys.stubs.length).toBe(1);
  });

  it("still confirms that a key is good: its record was lost", async () => {
    const stage = limiterStage({
      key: () => {
        stage.clock.now += 1_500;
        return known(lease(1));
      },
    });
    expect(await stage.admit()).toMatchObject({ refusal: { code: "limiter_unavailable" } });
    for (let failed = 0; failed < FAILED_KEYS_A_MINUTE; failed += 1) {
      await stage.limiter.reject(stage.caller, BAD_KEY);
      stage.clock.now += 110;
    }
    // A key that isn't known to be good would be refused without a lease request.
    const sent = stage.keys.requests.length;
    await stage.admit();
    expect(stage.keys.requests.length).toBeGreaterThan(sent);
  });
});

describe("a limiter object that fails", () => {
  const fails = (error: Error) => (): never => {
    throw error;
  };

  it("once is called a second time, on a fresh stub", async () => {
    const stage = limiterStage({ key: once(new Error("broken stub"), () => known(lease(1))) });
    expect(await stage.admit()).toMatchObject({ ok: true });
    expect(stage.keys.stubs.length).toBe(2);
  });

  it("twice is a refusal, and isn't called a third time", async () => {
    const stage = limiterStage({ key: fails(new Error("text of an exception")) });
    const admission = await stage.admit();
    expect(admission).toMatchObject({
      ok: false,
      refusal: { code: "limiter_unavailable", retryAfterMs: 1_000 },
    });
    expect(JSON.stringify(admission)).not.toContain("text of");
    expect(stage.keys.stubs.length).toBe(2);
  });

  it("because it is overloaded isn't called again", async () => {
    const stage = limiterStage({ key: fails(Object.assign(new Error("busy"), { overloaded: true })) });
    expect(await stage.admit()).toMatchObject({ refusal: { code: "limiter_unavailable" } });
    expect(stage.keys.stubs.length).toBe(1);
  });

  it("to answer is a refusal at the time-out, and leaves no timer behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const stage = limiterStage({ key: () => new Promise<never>(() => {}) });
    let result: unknown = "no result yet";
    void stage.admit().then((admission) => (result = admission));
    await vi.advanceTimersByTimeAsync(LIMITER_TIMEOUT_MS - 1);
    expect(result).toBe("no result yet");
    await vi.advanceTimersByTimeAsync(1);
    expect(result).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** Throws at the first call. */
function once<T>(error: Error, then: () => T): () => T {
  let failed = false;
  return () => {
    if (failed) return then();
    failed = true;
    throw error;
  };
}
