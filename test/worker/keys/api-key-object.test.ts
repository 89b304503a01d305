// A key's object over RPC: what it keeps, what it tells the others, and that a crash in between ends well.
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

/** Far ahead of the real clock, by which the platform rings alarms: here none rings but by the test. */
const NOON = Date.parse("2096-11-23T12:00:00.500Z");
const [A, B] = ["a".repeat(64), "b".repeat(64)] as const;

type Stub = DurableObjectStub<ApiKey>;

let made = 0;
const newId = (): string => `key${String((made += 1)).padStart(9, "0")}`;
const by = () => ({ actor: "an-admin", requestId: `req_${crypto.randomUUID()}` });
const registry = () => registryObject(env);

function ask(secretHash = A, more: Partial<KeyLeaseRequest> = {}): KeyLeaseRequest {
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

/** What a key's own storage holds. */
const stored = async (key: Stub): Promise<string> =>
  runInDurableObject(key, async (_, state) => JSON.stringify([...(await state.storage.list())]));

/** Replaces a method of the registry or the ledger until the test ends. RPC reaches a class's own methods alone. */
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

/** What a call throws; awaited in a try, or the call's own promise counts as one that nobody handled. */
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
  it("knows nobody without a record, and writes nothing of them", async () => {
    const key = env.API_KEY.getByName("nobody-at-all");
    expect(await key.lease(ask())).toEqual({ kind: "unknown" });
    expect(await key.show()).toBeNull();
    expect(await key.change({ name: "x" }, by())).toEqual({ kind: "missing" });
    expect(await key.rotate(B, 0, by())).toEqual({ kind: "missing" });
    expect(await key.revoke(by())).toEqual({ kind: "missing" });
    await key.used("2096-11", 5);
    expect(await stored(key)).toBe("[]");
  });

  it("stores nothing of a built-in key, and limits it to its window", async () => {
    const key = env.API_KEY.getByName("legacy_0123456789abcdef");
    const builtInRecord = record(limits({ perSecond: 3 }));
    const answers = await Promise.all([1, 2, 3, 4, 5].map(async () => key.lease(ask(A, { builtInRecord }))));
    const granted = answers.map((answer) => (answer.kind === "known" ? answer.lease.granted : -1));
    expect(granted.reduce((sum, one) => sum + one, 0)).toBe(3);
    expect(await stored(key)).toBe("[]");
  });

  it("lets its secret in by its record, and no other", async () => {
    const { key } = await newKey({ name: "clinic", agents: ["Alpha"] });
    expect(await key.lease(ask())).toMatchObject({
      kind: "known",
      record: { name: "clinic", agents: ["Alpha"] },
      lease: { granted: 1 },
      quotaSpent: false,
    });
    expect(await key.lease(ask(B))).toEqual({ kind: "unknown" });
  });

  it("keeps all of it through an eviction", async () => {
    const { id, key } = await newKey({ name: "clinic" });
    await key.rotate(B, 60_000, by());
    await evictDurableObject(key);
    for (const hash of [A, B]) expect(await key.lease(ask(hash))).toMatchObject({ kind: "known" });
    expect(await key.show()).toMatchObject({ id, name: "clinic", state: "active" });
  });

  it("reads nothing from storage for a lease", async () => {
    const { key } = await newKey();
    await key.lease(ask());
    await runInDurableObject(key, async (object: ApiKey, state) => {
      const reads = [vi.spyOn(state.storage.kv, "get"), vi.spyOn(state.storage.sql, "exec")];
      await object.lease(ask());
      for (const read of reads) {
        expect(read).not.toHaveBeenCalled();
        read.mockRestore();
      }
    });
  });

  it("is one limit for both of its secrets", async () => {
    const { key } = await newKey(limits({ perSecond: 4 }));
    await key.rotate(B, 60_000, by());
    let granted = 0;
    for (let at = 0; at < 10; at += 1) {
      const answer = await key.lease(ask(at % 2 === 0 ? A : B));
      if (answer.kind === "known") granted += answer.lease.granted;
    }
    expect(granted).toBe(4);
  });

  it("gives no lease past its expiry, nor past the end of an old secret", async () => {
    const { key } = await newKey({ expiresAt: NOON + 200 });
    expect(await key.lease(ask(A))).toMatchObject({ lease: { endsInMs: 200 } });
    vi.setSystemTime(NOON + 200);
    expect(await key.lease(ask())).toEqual({ kind: "expired" });
    const { key: other } = await newKey();
    await other.rotate(B, 100, by());
    expect(await other.lease(ask(A))).toMatchObject({ lease: { endsInMs: 100 } });
    expect(await other.lease(ask(B))).toMatchObject({ lease: { endsInMs: 300 } });
  });

  it("with its month used up is known, and has tokens for what isn't a call", async () => {
    const { key } = await newKey(limits({ tokensPerMonth: 100 }));
    await key.used("2096-11", 100);
    const answer = await key.lease(ask(A, { want: 5, waiting: 5 }));
    expect(answer).toMatchObject({ kind: "known", quotaSpent: true, lease: { granted: 5 } });
    await evictDurableObject(key);
    expect(await key.lease(ask())).toMatchObject({ quotaSpent: true });
    await key.change({ limits: { tokensPerMonth: 200 } }, by());
    expect(await key.lease(ask())).toMatchObject({ quotaSpent: false, lease: { granted: 1 } });
  });

  it("takes no change once revoked, and revokes again without another entry", async () => {
    const { id, key } = await newKey();
    const first = await key.revoke(by());
    expect(first).toMatchObject({ kind: "done", view: { state: "revoked" } });
    expect(await key.revoke(by())).toEqual(first);
    expect(await key.change({ name: "x" }, by())).toMatchObject({ kind: "revoked" });
    expect(await key.rotate(B, 0, by())).toMatchObject({ kind: "revoked" });
    expect(await key.lease(ask())).toEqual({ kind: "unknown" });
    const { entries } = await registry().audit({ target: id, limit: 10 });
    expect(entries.map(({ action }) => action)).toEqual(["key.revoke", "key.create"]);
  });

  it("isn't made twice: an id that is taken stays whose it is", async () => {
    const { id, key } = await newKey();
    expect(await key.create({ id, record: record(), secretHash: B }, by())).toEqual({ kind: "taken" });
    expect(await key.lease(ask(B))).toEqual({ kind: "unknown" });
  });
});

describe("what the registry can't be told just now", () => {
  const broken = (): never => {
    throw new Error("away");
  };

  it("of a creation ends the key, since nobody was told its secret; the list says so later", async () => {
    const id = newId();
    const key = env.API_KEY.getByName(id);
    replace(KeyRegistry, "keep", broken);
    expect(await failure(async () => key.create({ id, record: record(), secretHash: A }, by()))).toBe("away");
    expect(await key.lease(ask())).toEqual({ kind: "unknown" });
    vi.restoreAllMocks();
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
    const { entries } = await registry().audit({ target: id, limit: 10 });
    expect(entries.map(({ action }) => action)).toEqual(["key.revoke", "key.create"]);
  });

  it("of a creation that died in the middle ends the key too", async () => {
    const { id, key } = await newKey();
    await runInDurableObject(key, async (_, state) => {
      const kept = state.storage.kv.get<{ pending: object }>("key");
      state.storage.kv.put("key", {
        ...kept,
        pending: { ...kept?.pending, copy: true, creation: true, audit: [entryOf(id)] },
      });
      await state.storage.setAlarm(Date.now() + 60_000);
    });
    await evictDurableObject(key);
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await key.lease(ask())).toEqual({ kind: "unknown" });
    expect(await listed(id)).toMatchObject({ state: "revoked" });
  });

  it("of a revocation is told later; the key is revoked at once", async () => {
    const { id, key } = await newKey();
    replace(KeyRegistry, "keep", broken);
    expect(await key.revoke(by())).toMatchObject({ kind: "done", view: { state: "revoked" } });
    expect(await key.lease(ask())).toEqual({ kind: "unknown" });
    vi.restoreAllMocks();
    expect(await listed(id)).toMatchObject({ state: "active" });
    await evictDurableObject(key);
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
  });

  it("of a rotation doesn't cost its caller the new secret", async () => {
    const { key } = await newKey();
    replace(KeyRegistry, "keep", broken);
    expect(await key.rotate(B, 0, by())).toMatchObject({ kind: "done" });
    expect(await key.lease(ask(B))).toMatchObject({ kind: "known" });
  });

  it("leaves no alarm once all has been told", async () => {
    const { key } = await newKey();
    await key.change({ name: "ward" }, by());
    expect(await runInDurableObject(key, async (_, state) => state.storage.getAlarm())).toBeNull();
  });
});

describe("the ledger", () => {
  it("is told to count a key's month when it gets a limit, and to stop when it loses it or is revoked", async () => {
    const told: string[] = [];
    replace(Ledger, "watch", (id) => {
      told.push(`watch ${id}`);
      return { month: "2096-11", tokens: 70 };
    });
    replace(Ledger, "unwatch", (id) => void told.push(`unwatch ${id}`));
    const { id, key } = await newKey();
    expect(told).toEqual([]);
    await key.change({ limits: { tokensPerMonth: 70 } }, by());
    expect(await key.lease(ask())).toMatchObject({ quotaSpent: true });
    await key.change({ limits: { tokensPerMonth: null } }, by());
    expect(await key.lease(ask())).toMatchObject({ quotaSpent: false });
    await key.change({ limits: { tokensPerMonth: 90 } }, by());
    await key.revoke(by());
    expect(told).toEqual([`watch ${id}`, `unwatch ${id}`, `watch ${id}`, `unwatch ${id}`]);
  });

  it("that can't be told is told later", async () => {
    replace(Ledger, "watch", () => {
      throw new Error("away");
    });
    const { key } = await newKey(limits({ tokensPerMonth: 50 }));
    expect(await key.lease(ask())).toMatchObject({ kind: "known", quotaSpent: false });
    vi.restoreAllMocks();
    replace(Ledger, "watch", () => ({ month: new Date().toISOString().slice(0, 7), tokens: 50 }));
    expect(await runDurableObjectAlarm(key)).toBe(true);
    expect(await key.lease(ask())).toMatchObject({ quotaSpent: true });
  });
});

describe("the first admin key", () => {
  const builtInRecord = record({ name: "first admin key", scopes: ["infer", "admin"] });
  const first = { builtInRecord, first: { keyId: "first-one", requestId: "req_1" } };
  const newHash = (): string => crypto.randomUUID().replaceAll("-", "").repeat(2);
  const forgetKeys = async () =>
    runInDurableObject(registry(), (_, { storage }) => void storage.sql.exec("DELETE FROM keys"));

  it("counts until an admin key takes its place, and again within a second of the last one's end", async () => {
    await forgetKeys();
    const hash = newHash();
    const key = env.API_KEY.getByName(newId());
    expect(await key.lease(ask(hash, first))).toMatchObject({ kind: "known", record: builtInRecord });
    const id = newId();
    const admin = env.API_KEY.getByName(id);
    const creation = { id, record: record({ scopes: ["admin"] }), secretHash: A };
    await admin.create(creation, { ...by(), firstKey: hash });
    expect(await key.lease(ask(hash, first))).toEqual({ kind: "unknown" });
    await admin.revoke(by());
    vi.setSystemTime(NOON + 1_000);
    expect(await key.lease(ask(hash, first))).toMatchObject({ kind: "known" });
    expect(await stored(key)).toBe("[]");
  });

  it("goes on where the admin key that was to take its place was never told", async () => {
    await newKey({ scopes: ["admin"] });
    const hash = newHash();
    const id = newId();
    const admin = env.API_KEY.getByName(id);
    const creation = { id, record: record({ scopes: ["admin"] }), secretHash: A };
    replace(KeyRegistry, "keep", () => {
      throw new Error("away");
    });
    await failure(async () => admin.create(creation, { ...by(), firstKey: hash }));
    vi.restoreAllMocks();
    expect(await runDurableObjectAlarm(admin)).toBe(true);
    expect(await listed(id)).toMatchObject({ state: "revoked" });
    const key = env.API_KEY.getByName(newId());
    expect(await key.lease(ask(hash, first))).toMatchObject({ kind: "known" });
  });

  it("isn't let in where the registry can't be asked", async () => {
    const key = env.API_KEY.getByName(newId());
    replace(KeyRegistry, "admitFirstKey", () => {
      throw new Error("away");
    });
    expect(await failure(async () => key.lease(ask(A, first)))).toBe("away");
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
