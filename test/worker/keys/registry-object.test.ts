// The registry over RPC: copies of keys that arrive late, twice or out of order, lists in pages, and a bounded audit.
import { env } from "cloudflare:workers";
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { AuditEntry, KeyView } from "../../../shared/keys.ts";
import { keyView } from "../../../worker/keys/key-view.ts";
import { AUDIT_ENTRIES_KEPT, MAX_KEYS } from "../../../shared/limits.ts";
import type { KeyRegistry } from "../../../worker/keys/registry-object.ts";
import { stopClock } from "../support/edge.ts";
import { record } from "../support/limiters.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");

/** A registry for one test only. */
const newRegistry = (): DurableObjectStub<KeyRegistry> => env.KEY_REGISTRY.getByName(crypto.randomUUID());

const viewOf = (id: string, more: Parameters<typeof record>[0] = {}): KeyView =>
  keyView(id, record(more), { createdAt: NOON, revokedAt: null, oldSecretUntil: null }, NOON);

const entryOf = (target: string, requestId: string): AuditEntry => ({
  at: new Date(NOON).toISOString(),
  actor: "an-admin",
  action: "key.change",
  target,
  detail: {},
  requestId,
});

const ids = (list: { readonly keys: readonly { readonly id: string }[] } | null) =>
  list?.keys.map(({ id }) => id);

describe("a copy of a key", () => {
  it("is listed in the order of creation, with its current state", async () => {
    const clock = stopClock(NOON);
    const registry = newRegistry();
    for (const id of ["zeta", "alpha"])
      await registry.keep({ view: viewOf(id, { expiresAt: NOON + 5 }), version: 1 }, []);
    expect(await registry.list({ limit: 10 })).toMatchObject({
      keys: [
        { id: "zeta", state: "active" },
        { id: "alpha", state: "active" },
      ],
      next: null,
    });
    clock.to(NOON + 5);
    expect((await registry.list({ limit: 10 }))?.keys[0]).toMatchObject({ id: "zeta", state: "expired" });
  });

  it("that is older is ignored; the same copy again changes nothing", async () => {
    const registry = newRegistry();
    await registry.keep({ view: viewOf("key", { name: "new" }), version: 3 }, []);
    await registry.keep({ view: viewOf("key", { name: "old" }), version: 2 }, []);
    await registry.keep({ view: viewOf("key", { name: "new" }), version: 3 }, []);
    expect((await registry.list({ limit: 10 }))?.keys.map(({ name }) => name)).toEqual(["new"]);
  });

  it("is kept through the object's eviction", async () => {
    const registry = newRegistry();
    await registry.keep({ view: viewOf("key"), version: 1 }, [entryOf("key", "req_1")]);
    await evictDurableObject(registry);
    expect(ids(await registry.list({ limit: 10 }))).toEqual(["key"]);
    expect((await registry.audit({ limit: 10 })).entries).toHaveLength(1);
  });

  it("of a new key replaces the key that was revoked first if the index is full, or is refused", async () => {
    const registry = newRegistry();
    const revoked = { ...viewOf("gone"), state: "revoked" as const, revokedAt: "2026-01-01T00:00:00.000Z" };
    await registry.keep({ view: revoked, version: 2 }, []);
    await runInDurableObject(registry, (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         INSERT INTO keys (id, version, admin, view) SELECT 'filler-' || i, 1, 0, '{}' FROM n`,
        MAX_KEYS - 1,
      );
    });
    expect(await registry.keep({ view: viewOf("one-more"), version: 1 }, [])).toBe("kept");
    expect(await registry.list({ after: "gone", limit: 1 })).toBeNull();
    expect(await registry.keep({ view: viewOf("too-many"), version: 1 }, [])).toBe("full");
    expect(await registry.keep({ view: viewOf("one-more", { name: "changed" }), version: 2 }, [])).toBe(
      "kept",
    );
  });
});

describe("a list", () => {
  async function filled(count: number): Promise<DurableObjectStub<KeyRegistry>> {
    const registry = newRegistry();
    for (let at = 0; at < count; at += 1) {
      const view = viewOf(`key-${at}`, at % 3 === 1 ? { expiresAt: NOON + 1 } : {});
      const gone = { ...view, revokedAt: new Date(NOON).toISOString() };
      await registry.keep({ view: at % 3 === 2 ? gone : view, version: 1 }, []);
    }
    return registry;
  }

  it.each([1, 2, 7, 8])("has each key once over its pages of %i", async (limit) => {
    const registry = await filled(8);
    const seen: string[] = [];
    let pages = 0;
    for (let after: string | undefined; pages < 20; pages += 1) {
      const page = await registry.list({ limit, ...(after === undefined ? {} : { after }) });
      seen.push(...(ids(page) ?? []));
      if (page?.next == null) break;
      after = page.next;
    }
    expect(seen).toEqual(Array.from({ length: 8 }, (_, at) => `key-${at}`));
    expect(pages + 1).toBe(Math.ceil(8 / limit));
  });

  it.each([
    ["active", 0],
    ["expired", 1],
    ["revoked", 2],
  ] as const)("of keys in the state %s has only those", async (state, rest) => {
    stopClock(NOON + 1);
    const list = await (await filled(9)).list({ state, limit: 10 });
    expect(ids(list)).toEqual([rest, rest + 3, rest + 6].map((at) => `key-${at}`));
    expect(list?.keys.every((key) => key.state === state)).toBe(true);
  });

  it("after an unknown key is null", async () => {
    expect(await newRegistry().list({ after: "nothing", limit: 5 })).toBeNull();
  });
});

describe("an admin key", () => {
  it("is one that is neither revoked nor expired", async () => {
    const clock = stopClock(NOON);
    const registry = newRegistry();
    expect(await registry.hasAdminKey()).toBe(false);
    await registry.keep({ view: viewOf("plain"), version: 1 }, []);
    expect(await registry.hasAdminKey()).toBe(false);
    const admin = viewOf("boss", { scopes: ["infer", "admin"], expiresAt: NOON + 10 });
    await registry.keep({ view: admin, version: 1 }, []);
    expect(await registry.hasAdminKey()).toBe(true);
    expect(await registry.hasAdminKey("boss")).toBe(false);
    expect(await registry.hasAdminKey("plain")).toBe(true);
    clock.to(NOON + 10);
    expect(await registry.hasAdminKey()).toBe(false);
    const later = viewOf("boss", { scopes: ["admin"] });
    await registry.keep({ view: later, version: 2 }, []);
    expect(await registry.hasAdminKey()).toBe(true);
    await registry.keep({ view: { ...later, revokedAt: "2026-11-23T12:00:00.000Z" }, version: 3 }, []);
    expect(await registry.hasAdminKey()).toBe(false);
  });
});

describe("the audit", () => {
  it("has each entry once, newest first, however often it is sent", async () => {
    const registry = newRegistry();
    const [one, two] = [entryOf("a-key", "req_1"), entryOf("b-key", "req_2")];
    await registry.keep({ view: viewOf("a-key"), version: 1 }, [one]);
    await registry.keep({ view: viewOf("b-key"), version: 1 }, [one, two]);
    expect(await registry.audit({ limit: 10 })).toEqual({ entries: [two, one], next: null });
    expect((await registry.audit({ target: "a-key", limit: 10 })).entries).toEqual([one]);
  });

  it("continues after the previous page", async () => {
    const registry = newRegistry();
    const entries = Array.from({ length: 5 }, (_, at) => entryOf("a-key", `req_${at}`));
    await registry.keep({ view: viewOf("a-key"), version: 1 }, entries);
    const first = await registry.audit({ limit: 3 });
    expect(first.entries.map(({ requestId }) => requestId)).toEqual(["req_4", "req_3", "req_2"]);
    const rest = await registry.audit({ limit: 3, after: first.next ?? "" });
    expect(rest.entries.map(({ requestId }) => requestId)).toEqual(["req_1", "req_0"]);
    expect(rest.next).toBeNull();
  });

  it("keeps the newest entries", async () => {
    const registry = newRegistry();
    await runInDurableObject(registry, (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         INSERT INTO audit (name, target, entry) SELECT 'old-' || i, 'x', '{}' FROM n`,
        AUDIT_ENTRIES_KEPT,
      );
    });
    await registry.keep({ view: viewOf("a-key"), version: 1 }, [
      entryOf("a-key", "req_1"),
      entryOf("a-key", "req_2"),
    ]);
    const [count, oldest] = await runInDurableObject(registry, (_, { storage }) => {
      const row = storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM audit").one();
      return [
        row.n,
        storage.sql.exec<{ name: string }>("SELECT name FROM audit ORDER BY place LIMIT 1").one().name,
      ];
    });
    expect(count).toBe(AUDIT_ENTRIES_KEPT);
    expect(oldest).toBe("old-3");
  });
});
