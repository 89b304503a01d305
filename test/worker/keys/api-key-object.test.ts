// A key's object over RPC: what it stores, what it reports to other objects, and what happens after a crash.
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { KeyLeaseRequest } from "../../../worker/limits/lease-request.ts";
import type { KeyRecord } from "../../../shared/principal.ts";
import { registryObject } from "../../../worker/stubs.ts";
import type { ApiKey } from "../../../worker/keys/api-key-object.ts";
import { KeyRegistry } from "../../../worker/keys/registry-object.ts";
import { Ledger } from "../../../worker/usage/ledger-object.ts";
import { stopClock } from "../support/edge.ts";
import { record } from "../support/limiters.ts";

/** Far ahead of the real clock, which triggers the platform's alarms: here only the test triggers them. */
const NOON = Date.parse("2096-11-23T12:00:00.500Z");
const [A, B] = ["a".repeat(64), "b".repeat(64)] as const;

type Stub = DurableObjectStub<ApiKey>;

let created = 0;
const newId = (): string => `key${String((created += 1)).padStart(9, "0")}`;
const by = () => ({ actor: "an-admin", requestId: `req_${crypto.randomUUID()}` });
const registry = () => registryObject(env);

function leaseRequest(secretHash = A, more: Partial<KeyLeaseRequest> = {}): KeyLeaseRequest {
  return { want: 1, waiting: 1, secretHash, builtInRecord: null, first: null, ...more };
}

async function newKey(more: Partial<KeyRecord> = {}): Promise<{ readonly id: string; readonly key: Stub }> {
  const id = newId();
  const key = env.API_KEY.getByName(id);
  expect(await key.create({ id, record: record(more), secretHash: A }, by())).toMatchObject({ kind: "done" });
  return { id, key };
}

const limits = (more: Partial<KeyRecord["limits"]>): Partial<KeyRecord> => ({
  limits: { perSecond: 10, concurrent: null, tokensPerMonth: null, ...more },
});

/** The content of a key's own storage. */
const stored = async (key: Stub): Promise<string> =>
  runInDurableObject(key, async (_, state) => JSON.stringify([...(await state.storage.list())]));

/** Replaces a method of the registry or the ledger until the test ends; RPC calls only a class's own methods. */
function replace<T extends object>(
  type: { readonly prototype: T },
  method: keyof T & string,
  put: (id: string) => unknown,
): void {
  const spy = vi
    .spyOn(type.prototype as Record<string, (id: string) => unknown>, method)
    .mockImplementation(put);
  onTestFinished(() => spy.mockRestore());
}

/** The message of the error that a call throws. */
async function failure(call: () => Promise<unknown>): Promise<string | null> {
  try {
    await call();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const listed = async (id: string) =>
  (await registry().list({ limit: 200 }))?.keys.find((key) => key.id === id);

beforeEach(() => void stopClock(NOON));

describe("a key's object", () => {
  it("without a record knows no secret, and writes nothing", async () => {
    const key = env.API_KEY.getByName("unknown-key");
    expect(await key.lease(leaseRequest())).toEqual({ kind: "unknown" });
    expect(await key.show()).toBeNull();
    expect(await key.change({ name: "x" }, by())).toEqual({ kind: "missing" });
    expect(await key.rotate(B, 0, by())).toEqual({ kind: "missing" });
    expect(await key.revoke(by())).toEqual({ kind: "missing" });
    await key.used("2096-11", 5);
    expect(await stored(key)).toBe("[]");
  });

  it("stores nothing of a built-in key, and limits it to its window", async () => {
    const key = env.API_KEY.getByName(`legacy_${newId()}`);
    const builtInRecord = record(limits({ perSecond: 3 }));
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map(async () => key.lease(leaseRequest(A, { builtInRecord }))),
    );
    const granted = answers.map((answer) => (answer.kind === "known" ? answer.lease.granted : -1));
    expect(granted.reduce((sum, one) => sum + one, 0)).toBe(3);
    expect(await stored(key)).toBe("[]");
  });

  it("accepts its secret with its record, and no other secret", async () => {
    const { key } = await newKey({ name: "clinic", agents: ["Alpha"] });
    expect(await key.lease(leaseRequest())).toMatchObject({
      kind: "known",
      record: { name: "clinic", agents: ["Alpha"] },
      lease: { granted: 1 },
      quotaSpent: false,
    });
    expect(await key.lease(leaseRequest(B))).toEqual({ kind: "unknown" });
  });

  it("keeps its record through an eviction", async () => {
    const { id, key } = await newKey({ name: "clinic" });
    await key.rotate(B, 60_000, by());
    await evictDurableObject(key);
    for (const hash of [A, B]) expect(await key.lease(leaseRequest(hash))).toMatchObject({ kind: "known" });
    expect(await key.show()).toMatchObject({ id, name: "clinic", state: "active" });
  });

  it("reads nothing from storage for a lease", async () => {
    const { key } = await newKey();
    await key.lease(leaseRequest());
    await runInDurableObject(key, async (object: ApiKey, state) => {
      const reads = [vi.spyOn(state.storage.kv, "get"), vi.spyOn(state.storage.sql, "exec")];
      await object.lease(leaseRequest());
      for (const read of reads) {
        expect(read).not.toHaveBeenCalled();
        read.mockRestore();
      }
    });
  });

  it("has one limit for both of its secrets", async () => {
    const { key } = await newKey(limits({ perSecond: 4 }));
    await key.rotate(B, 60_000, by());
    let granted = 0;
    for (let at = 0; at < 10; at += 1) {
      const answer = await key.lease(leaseRequest(at % 2 === 0 ? A : B));
      if (answer.kind === "known") granted += answer.lease.granted;
    }
    expect(granted).toBe(4);
  });

  it("grants no lease beyond its expiry, or beyond that of an old secret", async () => {
    const { key } = await newKey({ expiresAt: NOON + 200 });
    expect(await key.lease(leaseRequest(A))).toMatchObject({ lease: { endsInMs: 200 } });
    vi.setSystemTime(NOON + 200);
    expect(await key.lease(leaseRequest())).toEqual({ kind: "expired" });
    const { key: other } = await newKey();
    await other.rotate(B, 100, by());
    expect(await other.lease(leaseRequest(A))).toMatchObject({ lease: { endsInMs: 100 } });
    expect(await other.lease(leaseRequest(B))).toMatchObject({ lease: { endsInMs: 300 } });
  });

  it("with its month used up is known, and has tokens for other requests than model calls", async () => {
    const { key } = await newKey(limits({ tokensPerMonth: 100 }));
    await key.used("2096-11", 100);
    const answer = await key.lease(leaseRequest(A, { want: 5, waiting: 5 }));
    expect(answer).toMatchObject({ kind: "known", quotaSpent: true, lease: { granted: 5 } });
    await evictDurableObject(key);
    expect(await key.lease(leaseRequest())).toMatchObject({ quotaSpent: true });
    await key.change({ limits: { tokensPerMonth: 200 } }, by());
    expect(await key.lease(leaseRequest())).toMatchObject({ quotaSpent: false, lease: { granted: 1 } });
  });

  it("can't be changed once revoked, and may be revoked again without another audit entry", async () => {
    const { id, key } = await newKey();
    const first = await key.revoke(by());
    expect(first).toMatchObject({ kind: "done", view: { state: "revoked" } });
    expect(await key.revoke(by())).toEqual(first);
    expect(await key.change({ name: "x" }, by())).toMatchObject({ kind: "revoked" });
    expect(await key.rotate(B, 0, by())).toMatchObject({ kind: "revoked" });
    expect(await key.lease(leaseRequest())).toEqual({ kind: "unknown" });
    const { entries } = await registry().audit({ target: id, limit: 10 });
    expect(entries.map(({ action }) => action)).toEqual(["key.revoke", "key.create"]);
  });

  it("is not created twice", async () => {
    const { id, key } = await newKey();
    expect(await key.create({ id, record: record(), secretHash: B }, by())).toEqual({ kind: "taken" });
    expect(await key.lease(leaseRequest(B))).toEqual({ kind: "unknown" });
  });
});

describe("while the registry is unavailable", () => {
  const broken = (): never => {
    throw new Error("unavailable");
  };

  it("a created key is revoked, since its secret was not returned, and is listed as revoked later", async () => {
    const id = newId();
    const key = env.API_KEY.getByName(id);
    replace(KeyRegistry, "keep", broken);
    expect(await failure(async () => key.create({ id, record: record(), secretHash: A }, by()))).toBe(
      "unavailable",
    );
    expect(await key.lease(leaseRequest())).toEqual({ kind: "unknown" });
    vi.restoreAllMocks();
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
    const { entries } = await registry().audit({ target: id, limit: 10 });
    expect(entries.map(({ action }) => action)).toEqual(["key.revoke", "key.create"]);
  });

  it("a key whose creation was interrupted by a crash is revoked too", async () => {
    const { id, key } = await newKey();
    await runInDurableObject(key, async (_, state) => {
      const key = state.storage.kv.get<{ pending: object }>("key");
      state.storage.kv.put("key", {
        ...key,
        pending: { ...key?.pending, copy: true, creation: true, audit: [entryOf(id)] },
      });
      await state.storage.setAlarm(Date.now() + 60_000);
    });
    await evictDurableObject(key);
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await key.lease(leaseRequest())).toEqual({ kind: "unknown" });
    expect(await listed(id)).toMatchObject({ state: "revoked" });
  });

  it("a key is revoked immediately, and listed as revoked later", async () => {
    const { id, key } = await newKey();
    replace(KeyRegistry, "keep", broken);
    expect(await key.revoke(by())).toMatchObject({ kind: "done", view: { state: "revoked" } });
    expect(await key.lease(leaseRequest())).toEqual({ kind: "unknown" });
    vi.restoreAllMocks();
    expect(await listed(id)).toMatchObject({ state: "active" });
    await evictDurableObject(key);
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
  });

  it("a rotation still returns the new secret", async () => {
    const { key } = await newKey();
    replace(KeyRegistry, "keep", broken);
    expect(await key.rotate(B, 0, by())).toMatchObject({ kind: "done" });
    expect(await key.lease(leaseRequest(B))).toMatchObject({ kind: "known" });
  });

  it("no alarm is left once everything is delivered", async () => {
    const { key } = await newKey();
    await key.change({ name: "ward" }, by());
    expect(await runInDurableObject(key, async (_, state) => state.storage.getAlarm())).toBeNull();
  });
});

describe("the ledger", () => {
  it("watches a key's month while the key has a quota and isn't revoked", async () => {
    const calls: string[] = [];
    replace(Ledger, "watch", (id) => {
      calls.push(`watch ${id}`);
      return { month: "2096-11", tokens: 70 };
    });
    replace(Ledger, "unwatch", (id) => void calls.push(`unwatch ${id}`));
    const { id, key } = await newKey();
    expect(calls).toEqual([]);
    await key.change({ limits: { tokensPerMonth: 70 } }, by());
    expect(await key.lease(leaseRequest())).toMatchObject({ quotaSpent: true });
    await key.change({ limits: { tokensPerMonth: null } }, by());
    expect(await key.lease(leaseRequest())).toMatchObject({ quotaSpent: false });
    await key.change({ limits: { tokensPerMonth: 90 } }, by());
    await key.revoke(by());
    expect(calls).toEqual([`watch ${id}`, `unwatch ${id}`, `watch ${id}`, `unwatch ${id}`]);
  });

  it("that is unavailable gets the report later", async () => {
    replace(Ledger, "watch", () => {
      throw new Error("unavailable");
    });
    const { key } = await newKey(limits({ tokensPerMonth: 50 }));
    expect(await key.lease(leaseRequest())).toMatchObject({ kind: "known", quotaSpent: false });
    vi.restoreAllMocks();
    replace(Ledger, "watch", () => ({ month: new Date().toISOString().slice(0, 7), tokens: 50 }));
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await key.lease(leaseRequest())).toMatchObject({ quotaSpent: true });
  });
});

describe("the first admin key", () => {
  const builtInRecord = record({ name: "first admin key", scopes: ["infer", "admin"] });
  const first = { builtInRecord, first: { keyId: "first-one", requestId: "req_1" } };
  const newHash = (): string => crypto.randomUUID().replaceAll("-", "").repeat(2);
  const forgetKeys = async () =>
    runInDurableObject(registry(), (_, { storage }) => void storage.sql.exec("DELETE FROM keys"));

  it("is valid until an admin key replaces it, and again within a second after the last one ended", async () => {
    await forgetKeys();
    const hash = newHash();
    const key = env.API_KEY.getByName(newId());
    expect(await key.lease(leaseRequest(hash, first))).toMatchObject({
      kind: "known",
      record: builtInRecord,
    });
    const id = newId();
    const admin = env.API_KEY.getByName(id);
    const creation = { id, record: record({ scopes: ["admin"] }), secretHash: A };
    await admin.create(creation, { ...by(), firstKey: hash });
    expect(await key.lease(leaseRequest(hash, first))).toEqual({ kind: "unknown" });
    await admin.revoke(by());
    vi.setSystemTime(NOON + 1_000);
    expect(await key.lease(leaseRequest(hash, first))).toMatchObject({ kind: "known" });
    expect(await stored(key)).toBe("[]");
  });

  it("stays valid if the creation of the admin key that replaces it failed", async () => {
    await newKey({ scopes: ["admin"] });
    const hash = newHash();
    const id = newId();
    const admin = env.API_KEY.getByName(id);
    const creation = { id, record: record({ scopes: ["admin"] }), secretHash: A };
    replace(KeyRegistry, "keep", () => {
      throw new Error("unavailable");
    });
    await failure(async () => admin.create(creation, { ...by(), firstKey: hash }));
    vi.restoreAllMocks();
    expect(await runDurableObjectAlarm(admin)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
    const key = env.API_KEY.getByName(newId());
    expect(await key.lease(leaseRequest(hash, first))).toMatchObject({ kind: "known" });
  });

  it("is refused if the registry is unavailable", async () => {
    const key = env.API_KEY.getByName(newId());
    replace(KeyRegistry, "admitFirstKey", () => {
      throw new Error("unavailable");
    });
    expect(await failure(async () => key.lease(leaseRequest(A, first)))).toBe("unavailable");
  });
});

const entryOf = (target: string) => ({
  at: new Date(NOON).toISOString(),
  actor: "an-admin",
  action: "key.create",
  target,
  detail: {},
  requestId: "req_of_the_crash",
});
