// Admission against leased tokens, and lease requests when there are none: every failure is a refusal, never a guess, and
// a request that one limit refuses spends nothing of the other.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type {
  AddressLeaseAnswer,
  KeyLeaseAnswer,
  KeyLeaseRequest,
} from "../../../worker/limits/lease-request.ts";
import { FAILED_KEYS_A_MINUTE, LIMITER_TIMEOUT_MS, UNKNOWN_KEY_MS } from "../../../shared/limits.ts";
import type { Bindings } from "../../../worker/env.ts";
import type { Caller } from "../../../worker/limits/caller.ts";
import { shownKey, type Claim, type ShownKey } from "../../../worker/auth/credential.ts";
import { Limiter, type Admission } from "../../../worker/limits/limiter.ts";
import { fleetOf } from "../support/fleets.ts";
import { counted, fakeAddresses, fakeKeys, known, lease, record } from "../support/limiters.ts";
import { placeObjects } from "../../../worker/stubs.ts";

const NOON = 1_790_000_000_000;
const CLAIM: Claim = {
  keyId: "Ab3dEf6h",
  secretHash: "a".repeat(64),
  builtInRecord: null,
  first: false,
  warning: null,
};
const KEY = shownKey(CLAIM);
const BAD_KEY = { code: "invalid_key", message: "not valid" } as const;

interface World {
  readonly limiter: Limiter;
  readonly keys: ReturnType<typeof fakeKeys>;
  readonly addresses: ReturnType<typeof fakeAddresses>;
  readonly caller: Caller;
  readonly clock: { now: number };
  admit(key?: ShownKey): Promise<Admission<unknown>>;
  /** Waits for the work that ran on after the answers. */
  settled(): Promise<void>;
}

interface Answers {
  readonly key?: (request: KeyLeaseRequest) => Promise<KeyLeaseAnswer> | KeyLeaseAnswer;
  readonly address?: () => Promise<AddressLeaseAnswer> | AddressLeaseAnswer;
  readonly shield?: Partial<Bindings>;
  readonly perAddress?: number;
}

function worldOf({ key, address, shield, perAddress = 100 }: Answers = {}): World {
  const clock = { now: NOON };
  const keys = fakeKeys(key ?? (() => known(lease(1, 500, { remaining: 5 }))));
  const addresses = fakeAddresses(address ?? (() => counted(lease(1, 500, { remaining: 5 }))));
  const fleet = fleetOf({ limits: { perAddressPerSecond: perAddress, perKeyPerSecond: 1_000 } });
  const limiter = new Limiter(fleet, () => clock.now);
  const running: Promise<unknown>[] = [];
  const caller: Caller = {
    bindings: { API_KEY: keys.binding, CLIENT_ADDRESS: addresses.binding, ...shield } as Bindings,
    isModelCall: true,
    requestId: "req_1",
    address: "192.0.2.1",
    context: { waitUntil: (work) => void running.push(work) },
  };
  return {
    limiter,
    keys,
    addresses,
    caller,
    clock,
    admit: async (shown = KEY) => limiter.admit(caller, shown),
    settled: async () => void (await Promise.all(running)),
  };
}

const exempt = { addressExempt: true };

describe("a burst within the limit", () => {
  it("is admitted completely, however fast it comes: a key within its limit was refused as if it had exceeded it", async () => {
    const quota = 100;
    let left = quota;
    const limits = { perSecond: quota, concurrent: null, tokensPerMonth: null };
    const world = worldOf({
      key: async ({ want, waiting }) => {
        // The object's rule: a token for a request that waits, and up to a quarter of the rest.
        const due = Math.min(waiting, want, left);
        const granted = Math.min(want, due + Math.ceil((left - due) / 4));
        left -= granted;
        return known(lease(granted, 900, { remaining: left }), { ...exempt, limits });
      },
    });
    const admissions = await Promise.all(Array.from({ length: quota }, async () => world.admit()));
    expect(admissions.filter(({ ok }) => ok)).toHaveLength(quota);
    expect(await world.admit()).toMatchObject({ refusal: { code: "rate_limited_key" } });
  });
});

describe("what an object reported of a key", () => {
  it("counts for less than a second: a request that waited longer after its admission is admitted again", async () => {
    const world = worldOf({ key: () => known(lease(5, 900, { remaining: 5 }), exempt) });
    expect((await world.admit()).ok).toBe(true);
    expect(world.limiter.isFresh(KEY)).toBe(true);
    world.clock.now += 1_000;
    expect(world.limiter.isFresh(KEY)).toBe(false);
  });

  it("of a month that is used up doesn't refuse an operator's request", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5 };
    const world = worldOf({ key: () => known(lease(3, 900, { remaining: 9 }), { ...exempt, limits }, true) });
    const operator = { ...world.caller, isModelCall: false };
    for (let request = 0; request < 2; request += 1) {
      expect(await world.limiter.admit(operator, KEY)).toMatchObject({ ok: true });
      expect(await world.admit()).toMatchObject({ refusal: { code: "quota_exceeded" } });
    }
  });
});

describe("a key's first request", () => {
  it("is admitted with the record of its object, which is created at the deployment's location", async () => {
    placeObjects("weur");
    onTestFinished(() => placeObjects(undefined));
    const world = worldOf();
    const admission = await world.admit();
    expect(admission).toMatchObject({ ok: true, value: record() });
    expect(world.keys.stubs).toEqual(["Ab3dEf6h"]);
    expect(world.keys.hints).toEqual(["weur"]);
    expect(world.keys.requests).toEqual([
      {
        want: 1,
        waiting: 1,
        secretHash: CLAIM.secretHash,
        builtInRecord: null,
        standing: null,
        first: null,
      },
    ]);
    expect(world.addresses.requests).toEqual([]);
  });

  it.each([
    ["unknown", "invalid_key"],
    ["expired", "expired_key"],
  ] as const)(
    "is refused if the object reports the key as %s, and so are the next, without a lease request",
    async (kind, code) => {
      const world = worldOf({ key: () => ({ kind }) });
      for (let request = 0; request < 3; request += 1)
        expect(await world.admit()).toMatchObject({ ok: false, refusal: { code } });
      expect(world.keys.requests.length).toBe(1);
      world.clock.now += UNKNOWN_KEY_MS;
      await world.admit();
      expect(world.keys.requests.length).toBe(2);
    },
  );

  it("is refused until the window's end if the object grants no token, and so are the next, without a lease request", async () => {
    const world = worldOf({ key: () => known(lease(0, 340), exempt) });
    expect(await world.admit()).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_key", retryAfterMs: 340 },
    });
    world.clock.now += 40;
    expect(await world.admit()).toMatchObject({ refusal: { code: "rate_limited_key", retryAfterMs: 300 } });
    expect(world.keys.requests.length).toBe(1);
  });

  it("is refused until the next month if the month's tokens are used up, and so are the next, without a lease request", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5_000 };
    const world = worldOf({ key: () => known(lease(0, 900, { remaining: 9 }), { limits }, true) });
    for (let request = 0; request < 3; request += 1) {
      const admission = await world.admit();
      expect(admission).toMatchObject({ ok: false, refusal: { code: "quota_exceeded" } });
      if (!admission.ok) expect(admission.refusal.message).toContain("2026-10-01");
    }
    expect(world.keys.requests.length).toBe(1);
  });

  it("isn't admitted by an answer that took longer than a lease lives", async () => {
    const world = worldOf({
      key: () => {
        world.clock.now += 1_001;
        return known(lease(1));
      },
    });
    expect(await world.admit()).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
  });
});

describe("an answer that is slow", () => {
  /** The first answer takes so long, the following ones no time. */
  function slowOnce(first: KeyLeaseAnswer, ms = 1_500): ReturnType<typeof worldOf> {
    let calls = 0;
    const world = worldOf({
      key: () => {
        calls += 1;
        if (calls > 1) return known(lease(1, 500, { remaining: 5 }), exempt);
        world.clock.now += ms;
        return first;
      },
    });
    return world;
  }

  it("leaves time for a second try: the limiter's time-out of 2 s was in fact 0.98 s", async () => {
    const world = slowOnce(known(lease(1), exempt));
    expect(await world.admit()).toMatchObject({ ok: true });
    expect(world.keys.stubs.length).toBe(2);
  });

  it.each<[string, KeyLeaseAnswer, string]>([
    ["an unknown key", { kind: "unknown" }, "invalid_key"],
    ["an expired key", { kind: "expired" }, "expired_key"],
    ["a spent window", known(lease(0), exempt), "rate_limited_key"],
    [
      "a month that is used up",
      known(lease(1), { limits: { perSecond: 10, concurrent: null, tokensPerMonth: 5 } }, true),
      "quota_exceeded",
    ],
  ])("still refuses %s: its refusal was lost", async (_, answer, code) => {
    const world = slowOnce(answer);
    expect(await world.admit()).toMatchObject({ ok: false, refusal: { code } });
    expect(world.keys.stubs.length).toBe(1);
  });

  it("still confirms that a key is good: its record was lost", async () => {
    const world = worldOf({
      key: () => {
        world.clock.now += 1_500;
        return known(lease(1));
      },
    });
    expect(await world.admit()).toMatchObject({ refusal: { code: "limiter_unavailable" } });
    for (let failed = 0; failed < FAILED_KEYS_A_MINUTE; failed += 1) {
      await world.limiter.reject(world.caller, BAD_KEY);
      world.clock.now += 110;
    }
    // A key that isn't known to be good would be refused without a lease request.
    const sent = world.keys.requests.length;
    await world.admit();
    expect(world.keys.requests.length).toBeGreaterThan(sent);
  });
});

describe("leased tokens", () => {
  it("admit requests at once, without a promise", async () => {
    const world = worldOf({ key: () => known(lease(9, 500, { remaining: 0 })) });
    await world.admit();
    for (let request = 0; request < 3; request += 1) {
      const admission = world.limiter.admit(world.caller, KEY);
      expect(admission).not.toBeInstanceOf(Promise);
      expect(admission).toMatchObject({
        ok: true,
        limits: { key: { perSecond: 10, remaining: 7 - request } },
      });
    }
    expect(world.keys.requests.length).toBe(1);
  });

  it("of one secret don't admit another of the same id", async () => {
    const world = worldOf({ key: () => known(lease(9)) });
    await world.admit();
    const forged = shownKey({ ...CLAIM, secretHash: "f".repeat(64) });
    await world.admit(forged);
    expect(world.keys.requests.map(({ secretHash }) => secretHash[0])).toEqual(["a", "f"]);
  });
});

describe("an address's limit", () => {
  const ten = { perAddress: 10 };

  it("is leased from its own object once the free passes are used", async () => {
    const world = worldOf({ ...ten, address: () => counted(lease(0, 120)) });
    for (let request = 0; request < 10; request += 1)
      expect(await world.limiter.admitAddress(world.caller)).toMatchObject({ ok: true });
    expect(world.addresses.requests).toEqual([]);
    expect(await world.limiter.admitAddress(world.caller)).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_ip", retryAfterMs: 120 },
    });
    expect(world.addresses.stubs).toEqual(["192.0.2.1"]);
    expect(world.addresses.requests).toMatchObject([{ want: 1, passed: 10, perSecond: 10, failedKeys: 0 }]);
    await world.limiter.admitAddress(world.caller);
    expect(world.addresses.requests.length).toBe(1);
  });

  it("refuses a request without spending its key's token", async () => {
    const world = worldOf({
      perAddress: 1,
      key: () => known(lease(3, 500, { remaining: 0 })),
      address: () => counted(lease(0)),
    });
    await world.admit();
    for (let request = 0; request < 5; request += 1)
      expect(await world.admit()).toMatchObject({ ok: false, refusal: { code: "rate_limited_ip" } });
    expect(await world.limiter.admit({ ...world.caller, address: "192.0.2.2" }, KEY)).toMatchObject({
      limits: { key: { remaining: 1 } },
    });
  });

  it("isn't spent by a request that its key's limit refuses", async () => {
    const world = worldOf({ key: () => known(lease(0)) });
    for (let request = 0; request < 30; request += 1) await world.admit();
    expect(await world.limiter.admitAddress(world.caller)).toMatchObject({
      limits: { address: { remaining: 99 } },
    });
    expect(world.addresses.requests).toEqual([]);
  });

  it("doesn't apply to a key that is exempt from it, nor does the key spend it", async () => {
    const world = worldOf({ perAddress: 1, key: () => known(lease(9), exempt) });
    for (let request = 0; request < 9; request += 1)
      expect(await world.admit()).toMatchObject({ ok: true, limits: { address: null } });
    expect(await world.limiter.admitAddress(world.caller)).toMatchObject({ ok: true });
  });
});

describe("failed keys", () => {
  it("are reported to the address's object if the key's object doesn't know them", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    await world.admit();
    await world.settled();
    expect(world.addresses.requests).toMatchObject([{ want: 0, failedKeys: 1 }]);
  });

  it("whose text can't be a key are reported with the next lease request, and cost none", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < 3; request += 1) await world.limiter.reject(world.caller, BAD_KEY);
    expect(world.addresses.requests).toEqual([]);
    await world.admit();
    await world.settled();
    expect(world.addresses.requests).toMatchObject([{ failedKeys: 4 }]);
  });

  it("beyond the budget are refused with their own code, and cost no object call", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    const codes: string[] = [];
    for (let request = 0; request < FAILED_KEYS_A_MINUTE + 5; request += 1) {
      const admission = await world.limiter.reject(world.caller, BAD_KEY);
      if (!admission.ok) codes.push(admission.refusal.code);
      world.clock.now += 110;
    }
    expect(codes.filter((code) => code === "invalid_key").length).toBe(FAILED_KEYS_A_MINUTE);
    expect(codes.at(-1)).toBe("too_many_failed_keys");
    expect(await world.admit()).toMatchObject({ refusal: { code: "too_many_failed_keys" } });
    expect(world.keys.requests).toEqual([]);
  });

  it("count once a minute each: one forgotten device doesn't block its whole address", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < FAILED_KEYS_A_MINUTE * 2; request += 1) {
      expect(await world.admit()).toMatchObject({ refusal: { code: "invalid_key" } });
      world.clock.now += 1_000;
    }
  });

  it("of other isolates count too, as the object reports them", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }), address: () => counted(lease(0), 30_000) });
    await world.admit();
    await world.settled();
    world.clock.now += 1_000;
    expect(await world.limiter.reject(world.caller, BAD_KEY)).toMatchObject({
      refusal: { code: "too_many_failed_keys", retryAfterMs: 29_000 },
    });
  });

  it("don't affect a key that is known to be good, nor requests without a key", async () => {
    const world = worldOf({ key: () => known(lease(9, 500, { remaining: 9 })) });
    await world.admit();
    for (let request = 0; request < FAILED_KEYS_A_MINUTE; request += 1) {
      world.clock.now += 110;
      await world.limiter.reject(world.caller, BAD_KEY);
    }
    world.clock.now += 10_000;
    expect(await world.admit()).toMatchObject({ ok: true });
    expect(await world.limiter.admitAddress(world.caller)).toMatchObject({ ok: true });
  });
});

describe("the platform's shield", () => {
  const shieldOf = (success: boolean) => {
    const asked: string[] = [];
    const limit = async ({ key }: { key: string }) => {
      asked.push(key);
      return { success };
    };
    return { asked, shield: { ADDRESS_SHIELD: { limit } } };
  };

  it("isn't asked for free passes", async () => {
    const { asked, shield } = shieldOf(true);
    const world = worldOf({ shield });
    for (let request = 0; request < 10; request += 1) await world.limiter.admitAddress(world.caller);
    expect(asked).toEqual([]);
    await world.limiter.admitAddress(world.caller);
    expect(asked).toEqual(["192.0.2.1"]);
  });

  it("blocks an address before all limits of ours, once it is raised", async () => {
    const { asked, shield } = shieldOf(false);
    const world = worldOf({ shield });
    for (let request = 0; request < 11; request += 1) await world.limiter.admitAddress(world.caller);
    await world.settled();
    const questions = world.addresses.requests.length;
    world.clock.now += 999;
    expect(await world.admit()).toMatchObject({ refusal: { code: "rate_limited_ip", retryAfterMs: 1 } });
    expect(world.keys.requests).toEqual([]);
    expect([asked.length, world.addresses.requests.length]).toEqual([1, questions]);
  });

  it.each<[string, Partial<Bindings>]>([
    ["is not bound", {}],
    ["fails", { ADDRESS_SHIELD: { limit: () => Promise.reject(new Error("no")) } }],
  ])("admits every address if it %s", async (_, shield) => {
    const world = worldOf({ shield, address: () => counted(lease(9, 500, { remaining: 50 })) });
    for (let request = 0; request < 15; request += 1)
      expect(await world.limiter.admitAddress(world.caller)).toMatchObject({ ok: true });
    await world.settled();
  });
});

describe("a limiter object that fails", () => {
  const fails = (error: Error) => (): never => {
    throw error;
  };

  it("once is called a second time, on a fresh stub", async () => {
    const world = worldOf({ key: once(new Error("broken stub"), () => known(lease(1))) });
    expect(await world.admit()).toMatchObject({ ok: true });
    expect(world.keys.stubs.length).toBe(2);
  });

  it("twice is a refusal, and isn't called a third time", async () => {
    const world = worldOf({ key: fails(new Error("text of an exception")) });
    const admission = await world.admit();
    expect(admission).toMatchObject({
      ok: false,
      refusal: { code: "limiter_unavailable", retryAfterMs: 1_000 },
    });
    expect(JSON.stringify(admission)).not.toContain("text of");
    expect(world.keys.stubs.length).toBe(2);
  });

  it("because it is overloaded isn't called again", async () => {
    const world = worldOf({ key: fails(Object.assign(new Error("busy"), { overloaded: true })) });
    expect(await world.admit()).toMatchObject({ refusal: { code: "limiter_unavailable" } });
    expect(world.keys.stubs.length).toBe(1);
  });

  it("to answer is a refusal at the time-out, and leaves no timer behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const world = worldOf({ key: () => new Promise<never>(() => {}) });
    let result: unknown = "no result yet";
    void world.admit().then((admission) => (result = admission));
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
