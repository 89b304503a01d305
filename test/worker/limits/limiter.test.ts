// Admission against leased tokens, and lease requests when there are none. A request that one limit refuses spends
// nothing of the other.
import { describe, expect, it, onTestFinished } from "vitest";
import { shownKey } from "../../../worker/auth/credential.ts";
import type { Bindings } from "../../../worker/env.ts";
import { FAILED_KEYS_A_MINUTE, UNKNOWN_KEY_MS } from "../../../shared/limits.ts";
import { placeObjects } from "../../../worker/stubs.ts";
import { BAD_KEY, CLAIM, EXEMPT, KEY, limiterStage } from "../support/limiter-stage.ts";
import { counted, known, lease, record } from "../support/limiters.ts";

describe("a burst within the limit", () => {
  it("is admitted completely, however fast it comes: a key within its limit was refused as if it had exceeded it", async () => {
    const quota = 100;
    let left = quota;
    const limits = { perSecond: quota, concurrent: null, tokensPerMonth: null };
    const stage = limiterStage({
      key: async ({ want, waiting }) => {
        // The object's rule: a token for a request that waits, and up to a quarter of the rest.
        const due = Math.min(waiting, want, left);
        const granted = Math.min(want, due + Math.ceil((left - due) / 4));
        left -= granted;
        return known(lease(granted, 900, { remaining: left }), { ...EXEMPT, limits });
      },
    });
    const admissions = await Promise.all(Array.from({ length: quota }, async () => stage.admit()));
    expect(admissions.filter(({ ok }) => ok)).toHaveLength(quota);
    expect(await stage.admit()).toMatchObject({ refusal: { code: "rate_limited_key" } });
  });
});

describe("what an object reported of a key", () => {
  it("counts for less than a second: a request that waited longer after its admission is admitted again", async () => {
    const stage = limiterStage({ key: () => known(lease(5, 900, { remaining: 5 }), EXEMPT) });
    expect((await stage.admit()).ok).toBe(true);
    expect(stage.limiter.isFresh(KEY)).toBe(true);
    stage.clock.now += 1_000;
    expect(stage.limiter.isFresh(KEY)).toBe(false);
  });

  it("of a month that is used up doesn't refuse an operator's request", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5 };
    const stage = limiterStage({
      key: () => known(lease(3, 900, { remaining: 9 }), { ...EXEMPT, limits }, true),
    });
    const operator = { ...stage.caller, isModelCall: false };
    for (let request = 0; request < 2; request += 1) {
      expect(await stage.limiter.admit(operator, KEY)).toMatchObject({ ok: true });
      expect(await stage.admit()).toMatchObject({ refusal: { code: "quota_exceeded" } });
    }
  });
});

describe("a key's first request", () => {
  it("is admitted with the record of its object, which is created at the deployment's location", async () => {
    placeObjects("weur");
    onTestFinished(() => placeObjects(undefined));
    const stage = limiterStage();
    const admission = await stage.admit();
    expect(admission).toMatchObject({ ok: true, value: record() });
    expect(stage.keys.stubs).toEqual(["Ab3dEf6h"]);
    expect(stage.keys.hints).toEqual(["weur"]);
    expect(stage.keys.requests).toEqual([
      {
        want: 1,
        waiting: 1,
        secretHash: CLAIM.secretHash,
        builtInRecord: null,
        first: null,
      },
    ]);
    expect(stage.addresses.requests).toEqual([]);
  });

  it.each([
    ["unknown", "invalid_key"],
    ["expired", "expired_key"],
  ] as const)(
    "is refused if the object reports the key as %s, and so are the next, without a lease request",
    async (kind, code) => {
      const stage = limiterStage({ key: () => ({ kind }) });
      for (let request = 0; request < 3; request += 1)
        expect(await stage.admit()).toMatchObject({ ok: false, refusal: { code } });
      expect(stage.keys.requests.length).toBe(1);
      stage.clock.now += UNKNOWN_KEY_MS;
      await stage.admit();
      expect(stage.keys.requests.length).toBe(2);
    },
  );

  it("is refused until the window's end if the object grants no token, and so are the next, without a lease request", async () => {
    const stage = limiterStage({ key: () => known(lease(0, 340), EXEMPT) });
    expect(await stage.admit()).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_key", retryAfterMs: 340 },
    });
    stage.clock.now += 40;
    expect(await stage.admit()).toMatchObject({ refusal: { code: "rate_limited_key", retryAfterMs: 300 } });
    expect(stage.keys.requests.length).toBe(1);
  });

  it("is refused until the next month if the month's tokens are used up, and so are the next, without a lease request", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5_000 };
    const stage = limiterStage({ key: () => known(lease(0, 900, { remaining: 9 }), { limits }, true) });
    for (let request = 0; request < 3; request += 1) {
      const admission = await stage.admit();
      expect(admission).toMatchObject({ ok: false, refusal: { code: "quota_exceeded" } });
      if (!admission.ok) expect(admission.refusal.message).toContain("2026-10-01");
    }
    expect(stage.keys.requests.length).toBe(1);
  });

  it("isn't admitted by an answer that took longer than a lease lives", async () => {
    const stage = limiterStage({
      key: () => {
        stage.clock.now += 1_001;
        return known(lease(1));
      },
    });
    expect(await stage.admit()).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
  });
});

describe("leased tokens", () => {
  it("admit requests at once, without a promise", async () => {
    const stage = limiterStage({ key: () => known(lease(9, 500, { remaining: 0 })) });
    await stage.admit();
    for (let request = 0; request < 3; request += 1) {
      const admission = stage.limiter.admit(stage.caller, KEY);
      expect(admission).not.toBeInstanceOf(Promise);
      expect(admission).toMatchObject({
        ok: true,
        limits: { key: { perSecond: 10, remaining: 7 - request } },
      });
    }
    expect(stage.keys.requests.length).toBe(1);
  });

  it("of one secret don't admit another of the same id", async () => {
    const stage = limiterStage({ key: () => known(lease(9)) });
    await stage.admit();
    const forged = shownKey({ ...CLAIM, secretHash: "f".repeat(64) });
    await stage.admit(forged);
    expect(stage.keys.requests.map(({ secretHash }) => secretHash[0])).toEqual(["a", "f"]);
  });
});

describe("an address's limit", () => {
  const ten = { perAddress: 10 };

  it("is leased from its own object once the free passes are used", async () => {
    const stage = limiterStage({ ...ten, address: () => counted(lease(0, 120)) });
    for (let request = 0; request < 10; request += 1)
      expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({ ok: true });
    expect(stage.addresses.requests).toEqual([]);
    expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_ip", retryAfterMs: 120 },
    });
    expect(stage.addresses.stubs).toEqual(["192.0.2.1"]);
    expect(stage.addresses.requests).toMatchObject([{ want: 1, passed: 10, perSecond: 10, failedKeys: 0 }]);
    await stage.limiter.admitAddress(stage.caller, null);
    expect(stage.addresses.requests.length).toBe(1);
  });

  it("refuses a request without spending its key's token", async () => {
    const stage = limiterStage({
      perAddress: 1,
      key: () => known(lease(3, 500, { remaining: 0 })),
      address: () => counted(lease(0)),
    });
    await stage.admit();
    for (let request = 0; request < 5; request += 1)
      expect(await stage.admit()).toMatchObject({ ok: false, refusal: { code: "rate_limited_ip" } });
    expect(await stage.limiter.admit({ ...stage.caller, address: "192.0.2.2" }, KEY)).toMatchObject({
      limits: { key: { remaining: 1 } },
    });
  });

  it("isn't spent by a request that its key's limit refuses", async () => {
    const stage = limiterStage({ key: () => known(lease(0)) });
    for (let request = 0; request < 30; request += 1) await stage.admit();
    expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({
      limits: { address: { remaining: 99 } },
    });
    expect(stage.addresses.requests).toEqual([]);
  });

  it("doesn't apply to a key that is exempt from it, nor does the key spend it", async () => {
    const stage = limiterStage({ perAddress: 1, key: () => known(lease(9), EXEMPT) });
    for (let request = 0; request < 9; request += 1)
      expect(await stage.admit()).toMatchObject({ ok: true, limits: { address: null } });
    expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({ ok: true });
  });
});

describe("failed keys", () => {
  it("are reported to the address's object if the key's object doesn't know them", async () => {
    const stage = limiterStage({ key: () => ({ kind: "unknown" }) });
    await stage.admit();
    await stage.settled();
    expect(stage.addresses.requests).toMatchObject([{ want: 0, failedKeys: 1 }]);
  });

  it("whose text can't be a key are reported with the next lease request, and cost none", async () => {
    const stage = limiterStage({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < 3; request += 1) await stage.limiter.reject(stage.caller, BAD_KEY);
    expect(stage.addresses.requests).toEqual([]);
    await stage.admit();
    await stage.settled();
    expect(stage.addresses.requests).toMatchObject([{ failedKeys: 4 }]);
  });

  it("count once a minute each: one forgotten device doesn't block its whole address", async () => {
    const stage = limiterStage({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < FAILED_KEYS_A_MINUTE * 2; request += 1) {
      expect(await stage.admit()).toMatchObject({ refusal: { code: "invalid_key" } });
      stage.clock.now += 1_000;
    }
  });
});

describe("the platform's shield", () => {
  const shieldOf = (success: boolean) => {
    const calls: string[] = [];
    const limit = async ({ key }: { key: string }) => {
      calls.push(key);
      return { success };
    };
    return { calls, shield: { ADDRESS_SHIELD: { limit } } };
  };

  it("isn't called for free passes", async () => {
    const { calls, shield } = shieldOf(true);
    const stage = limiterStage({ shield });
    for (let request = 0; request < 10; request += 1) await stage.limiter.admitAddress(stage.caller, null);
    expect(calls).toEqual([]);
    await stage.limiter.admitAddress(stage.caller, null);
    expect(calls).toEqual(["192.0.2.1"]);
  });

  it("blocks an address before all limits of ours, once it is raised", async () => {
    const { calls, shield } = shieldOf(false);
    const stage = limiterStage({ shield });
    for (let request = 0; request < 11; request += 1) await stage.limiter.admitAddress(stage.caller, null);
    await stage.settled();
    const sent = stage.addresses.requests.length;
    stage.clock.now += 999;
    expect(await stage.admit()).toMatchObject({ refusal: { code: "rate_limited_ip", retryAfterMs: 1 } });
    expect(stage.keys.requests).toEqual([]);
    expect([calls.length, stage.addresses.requests.length]).toEqual([1, sent]);
  });

  it.each<[string, Partial<Bindings>]>([
    ["is not bound", {}],
    ["fails", { ADDRESS_SHIELD: { limit: () => Promise.reject(new Error("no")) } }],
  ])("admits every address if it %s", async (_, shield) => {
    const stage = limiterStage({ shield, address: () => counted(lease(9, 500, { remaining: 50 })) });
    for (let request = 0; request < 15; request += 1)
      expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({ ok: true });
    await stage.settled();
  });
});
