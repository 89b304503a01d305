import { env } from "cloudflare:workers";
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { keyView } from "../../../worker/keys/key-view.ts";
import type { KeyRegistry } from "../../../worker/keys/registry-object.ts";
import { record } from "../support/limiters.ts";

const NOW = Date.parse("2026-11-23T12:00:00Z");
const hashOf = (digit: string): string => digit.repeat(64);
const [X, Y] = [hashOf("a"), hashOf("b")] as const;

type Registry = DurableObjectStub<KeyRegistry>;

/** A registry for one test only. */
const newRegistry = (): Registry => env.KEY_REGISTRY.getByName(crypto.randomUUID());

let requests = 0;
const use = async (registry: Registry, hash: string) =>
  registry.admitFirstKey(hash, { keyId: `key-${hash.slice(0, 1)}`, requestId: `req_${(requests += 1)}` });

/** Stores an admin key that was created, changed or revoked. */
async function keepAdmin(
  registry: Registry,
  more: { superseded?: string; version?: number; revoked?: true } = {},
) {
  const { superseded = null, version = 1, revoked } = more;
  const times = { createdAt: NOW, revokedAt: revoked === true ? NOW : null, oldSecretUntil: null };
  const view = keyView("boss", record({ scopes: ["admin"] }), times, NOW);
  return registry.keep({ view, version }, [], superseded);
}

const uses = async (registry: Registry): Promise<string[]> => {
  const { entries } = await registry.audit({ limit: 100 });
  return entries.filter(({ action }) => action === "first-key.use").map(({ actor }) => actor);
};

describe("a first admin key", () => {
  it("is valid in a deployment without admin keys", async () => {
    const registry = newRegistry();
    expect([await use(registry, X), await use(registry, X)]).toEqual([true, true]);
  });

  it("is refused once an admin key replaced it, also after an eviction, whether it was used or not", async () => {
    for (const isUsed of [true, false]) {
      const registry = newRegistry();
      if (isUsed) await use(registry, X);
      await keepAdmin(registry, { superseded: X });
      await evictDurableObject(registry);
      expect(await use(registry, X)).toBe(false);
    }
  });

  it("that is new is valid next to admin keys, also after their changes", async () => {
    const registry = newRegistry();
    await keepAdmin(registry, { superseded: X });
    expect(await use(registry, Y)).toBe(true);
    await keepAdmin(registry, { version: 2 });
    expect([await use(registry, Y), await use(registry, X)]).toEqual([true, false]);
  });

  it("that was replaced is valid only while no admin key is left", async () => {
    const registry = newRegistry();
    await keepAdmin(registry, { superseded: X });
    await keepAdmin(registry, { version: 2, revoked: true });
    expect(await use(registry, X)).toBe(true);
    const other = keyView("other", record({ scopes: ["admin"] }), NEVER, NOW);
    await registry.keep({ view: other, version: 1 }, []);
    expect(await use(registry, X)).toBe(false);
  });
});

const NEVER = { createdAt: NOW, revokedAt: null, oldSecretUntil: null };

describe("its use", () => {
  it("is audited once, and once more each time it became valid again", async () => {
    const registry = newRegistry();
    for (let times = 0; times < 3; times += 1) await use(registry, X);
    expect(await uses(registry)).toEqual(["key-a"]);
    await keepAdmin(registry, { superseded: X });
    await use(registry, X);
    expect(await uses(registry)).toEqual(["key-a"]);
    await keepAdmin(registry, { version: 2, revoked: true });
    for (let times = 0; times < 3; times += 1) await use(registry, X);
    expect(await uses(registry)).toEqual(["key-a", "key-a"]);
  });
});

describe("the stored hashes", () => {
  it("are the last hundred", async () => {
    const registry = newRegistry();
    const many = Array.from({ length: 120 }, (_, at) => at.toString(16).padStart(64, "0"));
    for (const hash of many) await keepAdmin(registry, { superseded: hash });
    const kept = await runInDurableObject(registry, (_, { storage }) =>
      storage.sql.exec<{ hash: string }>("SELECT hash FROM first_keys ORDER BY place").toArray(),
    );
    expect(kept.map(({ hash }) => hash)).toEqual(many.slice(20));
  });
});
