// The address's limiter object as the edge calls it: over RPC, one for each name. The key's is in api-key.test.ts.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { FAILED_KEYS_A_MINUTE } from "../../../shared/limits.ts";
import type { AddressLeaseQuestion } from "../../../worker/limits/lease-request.ts";
import { newAddress, stopClock } from "../support/edge.ts";

const NOON = 1_790_000_000_500;

function asking(more: Partial<AddressLeaseQuestion> = {}): AddressLeaseQuestion {
  return { want: 1, waiting: 1, wantNext: 0, perSecond: 6, passed: 0, failedKeys: 0, ...more };
}

describe("ClientAddress", () => {
  it("grants what the fleet file allows, and no more in a window", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    const all = await Promise.all(Array.from({ length: 20 }, async () => object.lease(asking())));
    expect(all.reduce((sum, { lease }) => sum + lease.granted, 0)).toBe(6);
  });

  it("counts in what an isolate let pass unasked", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    expect(await object.lease(asking({ passed: 4 }))).toMatchObject({ lease: { granted: 1, remaining: 1 } });
  });

  it("grants the next window's tokens ahead", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    const { lease } = await object.lease(asking({ wantNext: 5 }));
    expect(lease.next).toEqual({ granted: 2, remaining: 4, startsInMs: 500, endsInMs: 1_500 });
  });

  it("keeps all it knows in memory alone", async () => {
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    await object.lease(asking({ failedKeys: 3 }));
    const stored = await runInDurableObject(object, async (_, state) => (await state.storage.list()).size);
    expect(stored).toBe(0);
  });

  it("refuses keys from the failure on that is one too many in a minute, until the minute ends", async () => {
    const clock = stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    const refused = async (failedKeys: number): Promise<number> =>
      (await object.lease(asking({ failedKeys }))).keysRefusedForMs;
    expect(await refused(1)).toBe(0);
    clock.to(NOON + 10_000);
    expect(await refused(FAILED_KEYS_A_MINUTE - 2)).toBe(0);
    expect(await refused(1)).toBe(50_000);
    clock.to(NOON + 59_999);
    expect(await refused(0)).toBe(1);
    clock.to(NOON + 60_000);
    expect(await refused(0)).toBe(0);
  });
});
