// The address's limiter object as the edge calls it: over RPC, one for each name. The key's is in
// test/worker/keys/api-key-object.test.ts.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { FAILED_KEYS_A_MINUTE } from "../../../shared/limits.ts";
import type { AddressLeaseRequest } from "../../../worker/limits/lease-request.ts";
import { newAddress, stopClock } from "../support/edge.ts";

const NOON = 1_790_000_000_500;

function requesting(more: Partial<AddressLeaseRequest> = {}): AddressLeaseRequest {
  return { want: 1, waiting: 1, perSecond: 6, passed: 0, failedKeys: 0, ...more };
}

describe("ClientAddress", () => {
  it("grants what the fleet file allows in a window, and no more", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    const all = await Promise.all(Array.from({ length: 20 }, async () => object.lease(requesting())));
    expect(all.reduce((sum, { lease }) => sum + lease.granted, 0)).toBe(6);
  });

  it("counts the free passes that an isolate reports", async () => {
    stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    expect(await object.lease(requesting({ passed: 4 }))).toMatchObject({
      lease: { granted: 1, remaining: 1 },
    });
  });

  it("stores nothing", async () => {
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    await object.lease(requesting({ failedKeys: 3 }));
    const stored = await runInDurableObject(object, async (_, state) => (await state.storage.list()).size);
    expect(stored).toBe(0);
  });

  it("is suspect once too many keys failed within a minute, until the minute ends", async () => {
    const clock = stopClock(NOON);
    const object = env.CLIENT_ADDRESS.getByName(newAddress());
    const suspect = async (failedKeys: number): Promise<number> =>
      (await object.lease(requesting({ failedKeys }))).suspectForMs;
    expect(await suspect(1)).toBe(0);
    clock.to(NOON + 10_000);
    expect(await suspect(FAILED_KEYS_A_MINUTE - 2)).toBe(0);
    expect(await suspect(1)).toBe(50_000);
    clock.to(NOON + 59_999);
    expect(await suspect(0)).toBe(1);
    clock.to(NOON + 60_000);
    expect(await suspect(0)).toBe(0);
  });
});
