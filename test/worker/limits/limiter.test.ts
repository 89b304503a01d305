// Letting requests in by what is held, and asking the objects where nothing is: every failure a refusal, never a
// guess, and what one limit refuses spends nothing of the other.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type {
  AddressLeaseAnswer,
  KeyLeaseAnswer,
  KeyLeaseQuestion,
} from "../../../worker/limits/lease-request.ts";
import { FAILED_KEYS_A_MINUTE, LIMITER_TIMEOUT_MS, UNKNOWN_KEY_MS } from "../../../shared/limits.ts";
import type { Bindings } from "../../../worker/env.ts";
import type { Caller } from "../../../worker/limits/caller.ts";
import type { Claim } from "../../../worker/auth/credential.ts";
import { shownKey, type ShownKey } from "../../../worker/limits/key-limit.ts";
import { Limiter, type Entry } from "../../../worker/limits/limiter.ts";
import { fleetOf } from "../support/fleets.ts";
import { counted, fakeAddresses, fakeKeys, known, lease, record } from "../support/limiters.ts";
import { placeObjects } from "../../../worker/stubs.ts";

const NOON = 1_790_000_000_000;
const CLAIM: Claim = {
  keyId: "Ab3dEf6h",
  secretHash: "a".repeat(64),
  standing: null,
  first: false,
  warning: null,
};
const KEY = shownKey(CLAIM);
const BAD_KEY = { code: "invalid_key", message: "not valid" } as const;

interface World {
  readonly limiter: Limiter;
  readonly keys: ReturnType<typeof fakeKeys>;
  readonly addresses: ReturnType<typeof fakeAddresses>;
  readonly asker: Caller;
  readonly clock: { now: number };
  enter(key?: ShownKey): Promise<Entry<unknown>>;
  /** What ran on beside the answers. */
  settled(): Promise<void>;
}

interface Answers {
  readonly key?: (question: KeyLeaseQuestion) => Promise<KeyLeaseAnswer> | KeyLeaseAnswer;
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
  const asker: Caller = {
    bindings: { API_KEY: keys.binding, CLIENT_ADDRESS: addresses.binding, ...shield } as Bindings,
    calls: true,
    requestId: "req_1",
    address: "192.0.2.1",
    context: { waitUntil: (work) => void running.push(work) },
  };
  return {
    limiter,
    keys,
    addresses,
    asker,
    clock,
    enter: async (shown = KEY) => limiter.enter(asker, shown),
    settled: async () => void (await Promise.all(running)),
  };
}

const exempt = { addressExempt: true };

describe("a burst within the limit", () => {
  it("is let in whole, however fast it comes: a key that sent what it may was told that it had sent more", async () => {
    const quota = 100;
    let left = quota;
    const limits = { perSecond: quota, concurrent: null, tokensPerMonth: null };
    const world = worldOf({
      key: async ({ want, waiting }) => {
        // As the object does it: what is waited for, and a quarter of the rest.
        const due = Math.min(waiting, want, left);
        const granted = Math.min(want, due + Math.ceil((left - due) / 4));
        left -= granted;
        return known(lease(granted, 900, { remaining: left }), { ...exempt, limits });
      },
    });
    const entries = await Promise.all(Array.from({ length: quota }, async () => world.enter()));
    expect(entries.filter((entry) => entry.ok)).toHaveLength(quota);
    expect(await world.enter()).toMatchObject({ refusal: { code: "rate_limited_key" } });
  });
});

describe("a key's word", () => {
  it("counts for less than a second: what was let in on it and waited longer has to ask again", async () => {
    const world = worldOf({ key: () => known(lease(5, 900, { remaining: 5 }), exempt) });
    expect((await world.enter()).ok).toBe(true);
    expect(world.limiter.isFresh(KEY)).toBe(true);
    world.clock.now += 1_000;
    expect(world.limiter.isFresh(KEY)).toBe(false);
  });

  it("on a month that is used up keeps no operator from looking after it", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5 };
    const world = worldOf({ key: () => known(lease(3, 900, { remaining: 9 }), { ...exempt, limits }, true) });
    const operator = { ...world.asker, calls: false };
    for (let request = 0; request < 2; request += 1) {
      expect(await world.limiter.enter(operator, KEY)).toMatchObject({ ok: true });
      expect(await world.enter()).toMatchObject({ refusal: { code: "quota_exceeded" } });
    }
  });
});

describe("a key's first request", () => {
  it("comes with what its object says of the key, asked at the deployment's location", async () => {
    placeObjects("weur");
    onTestFinished(() => placeObjects(undefined));
    const world = worldOf();
    const entry = await world.enter();
    expect(entry).toMatchObject({ ok: true, value: record() });
    expect(world.keys.stubs).toEqual(["Ab3dEf6h"]);
    expect(world.keys.hints).toEqual(["weur"]);
    expect(world.keys.questions).toEqual([
      { want: 1, waiting: 1, wantNext: 0, secretHash: CLAIM.secretHash, standing: null, first: null },
    ]);
    expect(world.addresses.questions).toEqual([]);
  });

  it.each([
    ["unknown", "invalid_key"],
    ["expired", "expired_key"],
  ] as const)(
    "is refused where the object calls the key %s, and so are the next, with no question",
    async (kind, code) => {
      const world = worldOf({ key: () => ({ kind }) });
      for (let request = 0; request < 3; request += 1)
        expect(await world.enter()).toMatchObject({ ok: false, refusal: { code } });
      expect(world.keys.questions.length).toBe(1);
      world.clock.now += UNKNOWN_KEY_MS;
      await world.enter();
      expect(world.keys.questions.length).toBe(2);
    },
  );

  it("is refused until the window's end where the object grants none, and so are the next, with no question", async () => {
    const world = worldOf({ key: () => known(lease(0, 340), exempt) });
    expect(await world.enter()).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_key", retryAfterMs: 340 },
    });
    world.clock.now += 40;
    expect(await world.enter()).toMatchObject({ refusal: { code: "rate_limited_key", retryAfterMs: 300 } });
    expect(world.keys.questions.length).toBe(1);
  });

  it("is refused until the next month where the month's tokens are used up, and so are the next, with no question", async () => {
    const limits = { perSecond: 10, concurrent: null, tokensPerMonth: 5_000 };
    const world = worldOf({ key: () => known(lease(0, 900, { remaining: 9 }), { limits }, true) });
    for (let request = 0; request < 3; request += 1) {
      const entry = await world.enter();
      expect(entry).toMatchObject({ ok: false, refusal: { code: "quota_exceeded" } });
      if (!entry.ok) expect(entry.refusal.message).toContain("2026-10-01");
    }
    expect(world.keys.questions.length).toBe(1);
  });

  it("isn't let in by an answer that was on its way longer than a lease lives", async () => {
    const world = worldOf({
      key: () => {
        world.clock.now += 1_001;
        return known(lease(1));
      },
    });
    expect(await world.enter()).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
  });
});

describe("tokens at hand", () => {
  it("let requests in at once, without a promise", async () => {
    const world = worldOf({ key: () => known(lease(4, 500, { remaining: 5 })) });
    await world.enter();
    for (let request = 0; request < 3; request += 1) {
      const entry = world.limiter.enter(world.asker, KEY);
      expect(entry).not.toBeInstanceOf(Promise);
      expect(entry).toMatchObject({ ok: true, told: { key: { perSecond: 10, remaining: 7 - request } } });
    }
    expect(world.keys.questions.length).toBe(1);
  });

  it("of one secret don't let in another of the same id", async () => {
    const world = worldOf({ key: () => known(lease(9)) });
    await world.enter();
    const forged = shownKey({ ...CLAIM, secretHash: "f".repeat(64) });
    await world.enter(forged);
    expect(world.keys.questions.map(({ secretHash }) => secretHash[0])).toEqual(["a", "f"]);
  });
});

describe("an address's limit", () => {
  const ten = { perAddress: 10 };

  it("is asked of its own object once the free passes are used", async () => {
    const world = worldOf({ ...ten, address: () => counted(lease(0, 120)) });
    for (let request = 0; request < 10; request += 1)
      expect(await world.limiter.visit(world.asker)).toMatchObject({ ok: true });
    expect(world.addresses.questions).toEqual([]);
    expect(await world.limiter.visit(world.asker)).toMatchObject({
      ok: false,
      refusal: { code: "rate_limited_ip", retryAfterMs: 120 },
    });
    expect(world.addresses.stubs).toEqual(["192.0.2.1"]);
    expect(world.addresses.questions).toMatchObject([{ want: 1, passed: 10, perSecond: 10, failedKeys: 0 }]);
    await world.limiter.visit(world.asker);
    expect(world.addresses.questions.length).toBe(1);
  });

  it("refuses a request without its key's token", async () => {
    const world = worldOf({
      perAddress: 1,
      key: () => known(lease(3, 500, { remaining: 0 })),
      address: () => counted(lease(0)),
    });
    await world.enter();
    for (let request = 0; request < 5; request += 1)
      expect(await world.enter()).toMatchObject({ ok: false, refusal: { code: "rate_limited_ip" } });
    expect(await world.limiter.enter({ ...world.asker, address: "192.0.2.2" }, KEY)).toMatchObject({
      told: { key: { remaining: 1 } },
    });
  });

  it("isn't spent by a request that its key's limit refuses", async () => {
    const world = worldOf({ key: () => known(lease(0)) });
    for (let request = 0; request < 30; request += 1) await world.enter();
    expect(await world.limiter.visit(world.asker)).toMatchObject({ told: { address: { remaining: 99 } } });
    expect(world.addresses.questions).toEqual([]);
  });

  it("doesn't hold for a key that is free of it, nor is it spent by it", async () => {
    const world = worldOf({ perAddress: 1, key: () => known(lease(9), exempt) });
    for (let request = 0; request < 9; request += 1)
      expect(await world.enter()).toMatchObject({ ok: true, told: { address: null } });
    expect(await world.limiter.visit(world.asker)).toMatchObject({ ok: true });
  });
});

describe("failed keys", () => {
  it("are told to the address's object where the key's object didn't know them", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    await world.enter();
    await world.settled();
    expect(world.addresses.questions).toMatchObject([{ want: 0, failedKeys: 1 }]);
  });

  it("that can be no keys are told with the next question, and cost none", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < 3; request += 1) await world.limiter.turnAway(world.asker, BAD_KEY);
    expect(world.addresses.questions).toEqual([]);
    await world.enter();
    await world.settled();
    expect(world.addresses.questions).toMatchObject([{ failedKeys: 4 }]);
  });

  it("beyond the budget are refused by themselves, and cost no object call", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    const codes: string[] = [];
    for (let request = 0; request < FAILED_KEYS_A_MINUTE + 5; request += 1) {
      const entry = await world.limiter.turnAway(world.asker, BAD_KEY);
      if (!entry.ok) codes.push(entry.refusal.code);
      world.clock.now += 110;
    }
    expect(codes.filter((code) => code === "invalid_key").length).toBe(FAILED_KEYS_A_MINUTE);
    expect(codes.at(-1)).toBe("too_many_failed_keys");
    expect(await world.enter()).toMatchObject({ refusal: { code: "too_many_failed_keys" } });
    expect(world.keys.questions).toEqual([]);
  });

  it("count once a minute each: one forgotten device locks nobody else out", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }) });
    for (let request = 0; request < FAILED_KEYS_A_MINUTE * 2; request += 1) {
      expect(await world.enter()).toMatchObject({ refusal: { code: "invalid_key" } });
      world.clock.now += 1_000;
    }
  });

  it("of other isolates count too, by the object's word", async () => {
    const world = worldOf({ key: () => ({ kind: "unknown" }), address: () => counted(lease(0), 30_000) });
    await world.enter();
    await world.settled();
    world.clock.now += 1_000;
    expect(await world.limiter.turnAway(world.asker, BAD_KEY)).toMatchObject({
      refusal: { code: "too_many_failed_keys", retryAfterMs: 29_000 },
    });
  });

  it("don't touch a key that is known to be good, nor requests without a key", async () => {
    const world = worldOf({ key: () => known(lease(9, 500, { remaining: 9 })) });
    await world.enter();
    for (let request = 0; request < FAILED_KEYS_A_MINUTE; request += 1) {
      world.clock.now += 110;
      await world.limiter.turnAway(world.asker, BAD_KEY);
    }
    world.clock.now += 10_000;
    expect(await world.enter()).toMatchObject({ ok: true });
    expect(await world.limiter.visit(world.asker)).toMatchObject({ ok: true });
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

  it("isn't asked for what an address may unasked", async () => {
    const { asked, shield } = shieldOf(true);
    const world = worldOf({ shield });
    for (let request = 0; request < 10; request += 1) await world.limiter.visit(world.asker);
    expect(asked).toEqual([]);
    await world.limiter.visit(world.asker);
    expect(asked).toEqual(["192.0.2.1"]);
  });

  it("keeps an address out before everything of ours, once it is up", async () => {
    const { asked, shield } = shieldOf(false);
    const world = worldOf({ shield });
    for (let request = 0; request < 11; request += 1) await world.limiter.visit(world.asker);
    await world.settled();
    const questions = world.addresses.questions.length;
    world.clock.now += 999;
    expect(await world.enter()).toMatchObject({ refusal: { code: "rate_limited_ip", retryAfterMs: 1 } });
    expect(world.keys.questions).toEqual([]);
    expect([asked.length, world.addresses.questions.length]).toEqual([1, questions]);
  });

  it.each<[string, Partial<Bindings>]>([
    ["there is none", {}],
    ["it fails", { ADDRESS_SHIELD: { limit: () => Promise.reject(new Error("no")) } }],
  ])("stops nobody where %s", async (_, shield) => {
    const world = worldOf({ shield, address: () => counted(lease(9, 500, { remaining: 50 })) });
    for (let request = 0; request < 15; request += 1)
      expect(await world.limiter.visit(world.asker)).toMatchObject({ ok: true });
    await world.settled();
  });
});

describe("a limiter object that fails", () => {
  const fails = (error: Error) => (): never => {
    throw error;
  };

  it("once is asked once more, on a fresh stub", async () => {
    const world = worldOf({ key: once(new Error("broken stub"), () => known(lease(1))) });
    expect(await world.enter()).toMatchObject({ ok: true });
    expect(world.keys.stubs.length).toBe(2);
  });

  it("twice is a refusal, and isn't asked a third time", async () => {
    const world = worldOf({ key: fails(new Error("words of an exception")) });
    const entry = await world.enter();
    expect(entry).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable", retryAfterMs: 1_000 } });
    expect(JSON.stringify(entry)).not.toContain("words");
    expect(world.keys.stubs.length).toBe(2);
  });

  it("since it is overloaded isn't asked again", async () => {
    const world = worldOf({ key: fails(Object.assign(new Error("busy"), { overloaded: true })) });
    expect(await world.enter()).toMatchObject({ refusal: { code: "limiter_unavailable" } });
    expect(world.keys.stubs.length).toBe(1);
  });

  it("by silence is a refusal at the time-out, and leaves no timer behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const world = worldOf({ key: () => new Promise<never>(() => {}) });
    let told: unknown = "nothing yet";
    void world.enter().then((entry) => (told = entry));
    await vi.advanceTimersByTimeAsync(LIMITER_TIMEOUT_MS - 1);
    expect(told).toBe("nothing yet");
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toMatchObject({ ok: false, refusal: { code: "limiter_unavailable" } });
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** Throws the first time. */
function once<T>(error: Error, then: () => T): () => T {
  let failed = false;
  return () => {
    if (failed) return then();
    failed = true;
    throw error;
  };
}
