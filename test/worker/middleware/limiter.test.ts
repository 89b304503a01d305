// Asking the limiter objects: every token spent once, every failure a refusal, never a guess.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { LIMITER_TIMEOUT_MS } from "../../../shared/limits.ts";
import type { Bindings } from "../../../worker/env.ts";
import type { Claim } from "../../../worker/middleware/credential.ts";
import { createLimiter } from "../../../worker/middleware/limiter.ts";
import { fakeAddresses, fakeKeys, lease, record } from "../support/limiters.ts";

const CLAIM: Claim = { keyId: "Ab3dEf6h", secretHash: "a".repeat(64), standing: null, warning: null };

const bindingsOf = (some: Partial<Bindings>): Bindings => some as Bindings;

describe("a key's token", () => {
  it("comes with what its object says of the key", async () => {
    const known = record({ name: "app", agents: ["Alpha"] });
    const keys = fakeKeys(() => ({ kind: "known", record: known, lease: lease(1) }));
    const admission = await createLimiter(() => 0).key(bindingsOf({ API_KEY: keys.binding }), CLAIM);
    expect(admission).toMatchObject({ ok: true, value: known });
    expect(keys.stubs).toEqual(["Ab3dEf6h"]);
    expect(keys.questions).toEqual([{ want: 1, secretHash: CLAIM.secretHash, standing: null }]);
  });

  it.each([
    ["unknown", "invalid_key"],
    ["expired", "expired_key"],
  ] as const)("is refused where the object calls the key %s", async (kind, code) => {
    const keys = fakeKeys(() => ({ kind }));
    const admission = await createLimiter(() => 0).key(bindingsOf({ API_KEY: keys.binding }), CLAIM);
    expect(admission).toMatchObject({ ok: false, refusal: { code } });
  });

  it("is refused until the window's end where the object grants none", async () => {
    const keys = fakeKeys(() => ({ kind: "known", record: record(), lease: lease(0, 340) }));
    const admission = await createLimiter(() => 0).key(bindingsOf({ API_KEY: keys.binding }), CLAIM);
    expect(admission).toMatchObject({ ok: false, refusal: { code: "rate_limited_key", retryAfterMs: 340 } });
  });

  it("given back is the next request's, once, without asking", async () => {
    const keys = fakeKeys(() => ({ kind: "known", record: record(), lease: lease(1) }));
    const limiter = createLimiter(() => 0);
    const bindings = bindingsOf({ API_KEY: keys.binding });
    const first = await limiter.key(bindings, CLAIM);
    if (first.ok) first.giveBack();
    expect(await limiter.key(bindings, CLAIM)).toMatchObject({ ok: true });
    expect(keys.questions.length).toBe(1);
    await limiter.key(bindings, CLAIM);
    expect(keys.questions.length).toBe(2);
  });

  it("given back after its window's end is nobody's: an answer's wait counts from the question", async () => {
    let now = 1_000;
    const keys = fakeKeys(() => {
      now += 490;
      return { kind: "known", record: record(), lease: lease(1, 500) };
    });
    const limiter = createLimiter(() => now);
    const bindings = bindingsOf({ API_KEY: keys.binding });
    const first = await limiter.key(bindings, CLAIM);
    if (first.ok) first.giveBack();
    await limiter.key(bindings, CLAIM);
    expect(keys.questions.length).toBe(2);
  });

  it("given back by one who showed the right secret doesn't let in one who shows another", async () => {
    const keys = fakeKeys(({ secretHash }) =>
      secretHash === CLAIM.secretHash
        ? { kind: "known", record: record(), lease: lease(1) }
        : { kind: "unknown" },
    );
    const limiter = createLimiter(() => 0);
    const bindings = bindingsOf({ API_KEY: keys.binding });
    const honest = await limiter.key(bindings, CLAIM);
    if (honest.ok) honest.giveBack();
    const forged = await limiter.key(bindings, { ...CLAIM, secretHash: "f".repeat(64) });
    expect(forged).toMatchObject({ ok: false, refusal: { code: "invalid_key" } });
  });
});

describe("an address's token", () => {
  it("is asked of the address's own object, with the fleet file's limit", async () => {
    const addresses = fakeAddresses(() => lease(1));
    const bindings = bindingsOf({ CLIENT_ADDRESS: addresses.binding });
    expect(await createLimiter(() => 0).address(bindings, "192.0.2.1", 7)).toMatchObject({ ok: true });
    expect(addresses.stubs).toEqual(["192.0.2.1"]);
    expect(addresses.questions).toEqual([{ want: 1, perSecond: 7 }]);
  });

  it("is refused until the window's end where the object grants none", async () => {
    const addresses = fakeAddresses(() => lease(0, 120));
    const bindings = bindingsOf({ CLIENT_ADDRESS: addresses.binding });
    expect(await createLimiter(() => 0).address(bindings, "192.0.2.1", 7)).toMatchObject({
      refusal: { code: "rate_limited_ip", retryAfterMs: 120 },
    });
  });

  it("of one address is not another's", async () => {
    const addresses = fakeAddresses(() => lease(1));
    const limiter = createLimiter(() => 0);
    const bindings = bindingsOf({ CLIENT_ADDRESS: addresses.binding });
    const first = await limiter.address(bindings, "192.0.2.1", 7);
    if (first.ok) first.giveBack();
    await limiter.address(bindings, "192.0.2.2", 7);
    expect(addresses.stubs).toEqual(["192.0.2.1", "192.0.2.2"]);
  });
});

describe("a limiter object that fails", () => {
  it("once is asked once more, on a fresh stub", async () => {
    let failures = 1;
    const addresses = fakeAddresses(() => {
      failures -= 1;
      if (failures >= 0) throw new Error("broken stub");
      return lease(1);
    });
    const bindings = bindingsOf({ CLIENT_ADDRESS: addresses.binding });
    expect(await createLimiter(() => 0).address(bindings, "192.0.2.1", 7)).toMatchObject({ ok: true });
    expect(addresses.stubs.length).toBe(2);
  });

  it("twice is a refusal, and isn't asked a third time", async () => {
    const addresses = fakeAddresses(() => {
      throw new Error("words of an exception");
    });
    const bindings = bindingsOf({ CLIENT_ADDRESS: addresses.binding });
    const admission = await createLimiter(() => 0).address(bindings, "192.0.2.1", 7);
    expect(admission).toMatchObject({
      ok: false,
      refusal: { code: "limiter_unavailable", retryAfterMs: 1_000 },
    });
    expect(JSON.stringify(admission)).not.toContain("words");
    expect(addresses.stubs.length).toBe(2);
  });

  it.each(["API_KEY", "CLIENT_ADDRESS"] as const)(
    "by silence (%s) is a refusal at the time-out",
    async (which) => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      onTestFinished(() => {
        vi.useRealTimers();
      });
      const silence = new Promise<never>(() => {});
      const bindings = bindingsOf({
        API_KEY: fakeKeys(() => silence).binding,
        CLIENT_ADDRESS: fakeAddresses(() => silence).binding,
      });
      const limiter = createLimiter(() => 0);
      let told: unknown = "nothing yet";
      const asked =
        which === "API_KEY" ? limiter.key(bindings, CLAIM) : limiter.address(bindings, "192.0.2.1", 7);
      void asked.then((admission) => (told = admission));
      await vi.advanceTimersByTimeAsync(LIMITER_TIMEOUT_MS - 1);
      expect(told).toBe("nothing yet");
      await vi.advanceTimersByTimeAsync(1);
      expect(told).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
    },
  );

  it("leaves no timer behind, whether it answered or not", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const limiter = createLimiter(() => 0);
    await limiter.address(bindingsOf({ CLIENT_ADDRESS: fakeAddresses(() => lease(1)).binding }), "a", 7);
    const throws = fakeAddresses(() => {
      throw new Error("no");
    });
    await limiter.address(bindingsOf({ CLIENT_ADDRESS: throws.binding }), "b", 7);
    expect(vi.getTimerCount()).toBe(0);
  });
});
