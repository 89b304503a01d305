// The limiter objects as the edge calls them: over RPC, one for each name.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { stopClock } from "../support/edge.ts";
import { record } from "../support/limiters.ts";

const NOON = 1_790_000_000_500;
const HASH = "a".repeat(64);

describe("ApiKey", () => {
  it("grants a standing key its own limit, and no more in a window", async () => {
    const clock = stopClock(NOON);
    const object = env.API_KEY.getByName("grants");
    const standing = record({ limits: { perSecond: 3, concurrent: null, tokensPerMonth: null } });
    const ask = async (want: number) => object.lease({ want, secretHash: HASH, standing });
    expect(await ask(2)).toEqual({
      kind: "known",
      record: standing,
      lease: { granted: 2, remaining: 1, endsInMs: 500 },
    });
    expect(await ask(2)).toMatchObject({ lease: { granted: 1, remaining: 0 } });
    expect(await ask(1)).toMatchObject({ kind: "known", lease: { granted: 0, remaining: 0, endsInMs: 500 } });
    clock.to(NOON + 500);
    expect(await ask(9)).toMatchObject({ lease: { granted: 3, endsInMs: 1_000 } });
  });

  it("knows nobody without a record, and writes nothing of them", async () => {
    const object = env.API_KEY.getByName("nobody");
    expect(await object.lease({ want: 1, secretHash: HASH, standing: null })).toEqual({ kind: "unknown" });
    const stored = await runInDurableObject(object, async (_, state) => (await state.storage.list()).size);
    expect(stored).toBe(0);
  });

  it("calls a key expired from the millisecond on that its record names", async () => {
    const clock = stopClock(NOON);
    const object = env.API_KEY.getByName("expires");
    const question = { want: 1, secretHash: HASH, standing: record({ expiresAt: NOON + 10 }) };
    clock.to(NOON + 9);
    expect(await object.lease(question)).toMatchObject({ kind: "known" });
    clock.to(NOON + 10);
    expect(await object.lease(question)).toEqual({ kind: "expired" });
  });

  it("has one window for each key", async () => {
    stopClock(NOON);
    const standing = record({ limits: { perSecond: 1, concurrent: null, tokensPerMonth: null } });
    for (const name of ["one", "other"])
      expect(await env.API_KEY.getByName(name).lease({ want: 1, secretHash: HASH, standing })).toMatchObject({
        lease: { granted: 1 },
      });
  });
});

describe("ClientAddress", () => {
  it("grants what the fleet file allows, and no more in a window", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName("192.0.2.77");
    const all = await Promise.all(
      Array.from({ length: 20 }, async () => object.lease({ want: 1, perSecond: 6 })),
    );
    expect(all.reduce((sum, { granted }) => sum + granted, 0)).toBe(6);
  });

  it("keeps its window in memory alone", async () => {
    const object = env.CLIENT_ADDRESS.getByName("192.0.2.78");
    await object.lease({ want: 1, perSecond: 6 });
    const stored = await runInDurableObject(object, async (_, state) => (await state.storage.list()).size);
    expect(stored).toBe(0);
  });
});
