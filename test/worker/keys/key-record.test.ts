// The pure core of a key: which secrets are valid, until when, and what each change leaves pending.
import { describe, expect, it } from "vitest";
import type { LeaseGrant } from "../../../worker/limits/lease-request.ts";
import type { KeyRecord } from "../../../shared/principal.ts";
import {
  builtInVerdict,
  changedKey,
  createdKey,
  deliveredKey,
  identify,
  leaseUntil,
  hasPending,
  revokedKey,
  rotatedKey,
  usedKey,
  viewOf,
  type StoredKey,
} from "../../../worker/keys/key-record.ts";
import { seeded } from "../support/random.ts";

const NOW = Date.parse("2026-11-23T12:00:00Z");
const BY = { actor: "an-admin", requestId: "req_1" };
const hashOf = (digit: string): string => digit.repeat(64);
const [A, B, C] = [hashOf("a"), hashOf("b"), hashOf("c")] as const;

const RECORD: KeyRecord = {
  name: "clinic",
  scopes: ["infer"],
  agents: ["Alpha"],
  limits: { perSecond: 10, concurrent: null, tokensPerMonth: null },
  priority: "normal",
  fallback: "auto",
  addressExempt: false,
  expiresAt: null,
};

function keyOf(more: Partial<KeyRecord> = {}): StoredKey {
  return createdKey({ id: "Ab3dEf6hIj9k", record: { ...RECORD, ...more }, secretHash: A }, BY, NOW);
}

const limited = (tokensPerMonth: number): Partial<KeyRecord> => ({
  limits: { perSecond: 10, concurrent: null, tokensPerMonth },
});

describe("a secret", () => {
  it("identifies its key; a similar one doesn't", () => {
    const key = keyOf();
    expect(identify(key, A, NOW)).toEqual({ kind: "known", record: RECORD, quotaSpent: false, until: null });
    for (const wrong of [
      B,
      "",
      "a",
      A.slice(1),
      `${A}a`,
      `${A.slice(0, 63)}b`,
      `b${A.slice(1)}`,
      "a".repeat(128),
    ])
      expect(identify(key, wrong, NOW), wrong).toEqual({ kind: "unknown" });
  });

  it("is unknown if there is no key", () => {
    expect(identify(null, A, NOW)).toEqual({ kind: "unknown" });
  });

  it("reveals that its key expired, to the millisecond; a wrong secret doesn't", () => {
    const key = keyOf({ expiresAt: NOW + 10 });
    expect(identify(key, A, NOW + 9)).toMatchObject({ kind: "known", until: NOW + 10 });
    expect(identify(key, A, NOW + 10)).toEqual({ kind: "expired" });
    expect(identify(key, B, NOW + 10)).toEqual({ kind: "unknown" });
    expect(builtInVerdict({ ...RECORD, expiresAt: NOW }, NOW)).toEqual({ kind: "expired" });
  });

  it("of a revoked key is unknown, whether it has expired or not", () => {
    const revoked = revokedKey(keyOf({ expiresAt: NOW + 10 }), BY, NOW + 1);
    for (const at of [NOW + 1, NOW + 10]) expect(identify(revoked, A, at)).toEqual({ kind: "unknown" });
    expect(JSON.stringify(revoked)).not.toContain(A);
  });
});

describe("a lease", () => {
  const lease: LeaseGrant = { granted: 3, remaining: 0, endsInMs: 700 };

  it("ends with its key or secret", () => {
    expect(leaseUntil(lease, null, NOW)).toEqual(lease);
    expect(leaseUntil(lease, NOW + 5_000, NOW)).toEqual(lease);
    expect(leaseUntil(lease, NOW + 400, NOW)).toMatchObject({ endsInMs: 400 });
  });
});

describe("rotation", () => {
  const rotate = (key: StoredKey, secretHash: string, graceMs: number, at: number): StoredKey =>
    rotatedKey(key, { secretHash, graceMs }, BY, at);

  it("keeps both secrets valid during the grace period, to its last millisecond", () => {
    const key = rotate(keyOf(), B, 1_000, NOW);
    expect(identify(key, B, NOW)).toMatchObject({ kind: "known", until: null });
    expect(identify(key, A, NOW + 999)).toMatchObject({ kind: "known", until: NOW + 1_000 });
    expect(identify(key, A, NOW + 1_000)).toEqual({ kind: "unknown" });
    expect(identify(key, B, NOW + 1_000)).toMatchObject({ kind: "known" });
    expect(viewOf(key, NOW).oldSecretUntil).toBe("2026-11-23T12:00:01.000Z");
    expect(viewOf(key, NOW + 1_000).oldSecretUntil).toBeNull();
  });

  it("without a grace period ends the old secret immediately", () => {
    const key = rotate(keyOf(), B, 0, NOW);
    expect(identify(key, A, NOW)).toEqual({ kind: "unknown" });
    expect(viewOf(key, NOW).oldSecretUntil).toBeNull();
  });

  it("within the grace period ends the oldest secret", () => {
    const key = rotate(rotate(keyOf(), B, 1_000, NOW), C, 1_000, NOW + 1);
    expect(key.secrets).toHaveLength(2);
    expect(identify(key, A, NOW + 2)).toEqual({ kind: "unknown" });
    for (const good of [B, C]) expect(identify(key, good, NOW + 2)).toMatchObject({ kind: "known" });
  });
});

describe("a change", () => {
  it("is merged, and audited with the old and the new value of each field", () => {
    const key = changedKey(
      keyOf(),
      { name: "ward", limits: { concurrent: 4 }, agents: null, expiresAt: NOW + 1_000 },
      { actor: "other", requestId: "req_2" },
      NOW + 5,
    );
    expect(key.record).toEqual({
      ...RECORD,
      name: "ward",
      agents: null,
      limits: { perSecond: 10, concurrent: 4, tokensPerMonth: null },
      expiresAt: NOW + 1_000,
    });
    expect(key.pending.audit.at(-1)).toEqual({
      at: "2026-11-23T12:00:00.005Z",
      actor: "other",
      action: "key.change",
      target: key.id,
      detail: {
        name: { from: "clinic", to: "ward" },
        agents: { from: ["Alpha"], to: null },
        "limits.concurrent": { from: null, to: 4 },
        expiresAt: { from: null, to: "2026-11-23T12:00:01.000Z" },
      },
      requestId: "req_2",
    });
  });

  it("that changes nothing is ignored", () => {
    const key = keyOf();
    expect(changedKey(key, { name: "clinic", limits: { perSecond: 10 } }, BY, NOW)).toBe(key);
  });

  it("of the monthly quota is pending for the ledger, others aren't", () => {
    const key = withoutPending(keyOf());
    expect(changedKey(key, { name: "x" }, BY, NOW).pending.ledger).toBe(false);
    const watched = changedKey(key, { limits: { tokensPerMonth: 5 } }, BY, NOW);
    expect(watched.pending.ledger).toBe(true);
    const used = usedKey(withoutPending(watched), { month: "2026-11", tokens: 9 });
    const freed = changedKey(used, { limits: { tokensPerMonth: null } }, BY, NOW);
    expect(freed).toMatchObject({ month: null, pending: { ledger: true } });
  });
});

describe("the month's tokens", () => {
  const used = (key: StoredKey, month: string, tokens: number): StoredKey => usedKey(key, { month, tokens });
  const spent = (key: StoredKey, at: number): unknown => {
    const verdict = identify(key, A, at);
    return verdict.kind === "known" && verdict.quotaSpent;
  };

  it("use up the quota when they reach it, until the month ends in UTC", () => {
    const key = used(keyOf(limited(100)), "2026-11", 99);
    expect(spent(key, NOW)).toBe(false);
    const full = used(key, "2026-11", 100);
    expect(spent(full, NOW)).toBe(true);
    expect(spent(full, Date.parse("2026-11-30T23:59:59.999Z"))).toBe(true);
    expect(spent(full, Date.parse("2026-12-01T00:00:00.000Z"))).toBe(false);
  });

  it("never decrease: a late report, or one for an older month, is ignored", () => {
    const key = used(keyOf(limited(100)), "2026-11", 80);
    for (const [month, tokens] of [
      ["2026-11", 79],
      ["2026-11", 80],
      ["2026-10", 500],
    ] as const)
      expect(used(key, month, tokens)).toBe(key);
    expect(used(key, "2026-12", 1).month).toEqual({ month: "2026-12", tokens: 1 });
  });

  it("are ignored if the key has no quota, or is revoked", () => {
    const free = keyOf();
    expect(used(free, "2026-11", 5)).toBe(free);
    const gone = revokedKey(keyOf(limited(5)), BY, NOW);
    expect(used(gone, "2026-11", 5)).toBe(gone);
  });
});

describe("the pending reports", () => {
  it("are the creation, and none once it is delivered", () => {
    const key = keyOf();
    expect(key.pending).toMatchObject({
      copy: true,
      creation: true,
      ledger: false,
      audit: [{ action: "key.create" }],
    });
    expect(hasPending(deliveredKey(key, key))).toBe(false);
  });

  it("stay after the delivery of an older version", () => {
    const key = keyOf();
    const later = changedKey(key, { name: "ward" }, { ...BY, requestId: "req_2" }, NOW);
    expect(deliveredKey(later, key).pending).toMatchObject({
      copy: true,
      creation: false,
      audit: [{ requestId: "req_2" }],
    });
  });

  it("are bounded", () => {
    let key = keyOf();
    for (let at = 0; at < 500; at += 1)
      key = changedKey(key, { name: `n${at}` }, { ...BY, requestId: `req_${at}` }, NOW);
    expect(key.pending.audit.length).toBe(100);
  });
});

describe("the first admin key", () => {
  const [FIRST, ADMIN] = ["f".repeat(64), { scopes: ["infer", "admin"] } satisfies Partial<KeyRecord>];
  const by = { ...BY, firstKey: FIRST };
  const created = (more: Partial<KeyRecord>): StoredKey =>
    createdKey({ id: "Ab3dEf6hIj9k", record: { ...RECORD, ...more }, secretHash: A }, by, NOW);
  const delivered = (key: StoredKey): StoredKey => deliveredKey(key, key);
  const isReplaced = (key: StoredKey): boolean => key.pending.superseded === FIRST;

  it("is replaced by a key that becomes an admin key: at its creation, by its scope, or by a later expiry", () => {
    expect(isReplaced(created(ADMIN))).toBe(true);
    expect(isReplaced(changedKey(delivered(created({})), ADMIN, by, NOW))).toBe(true);
    const expired = delivered(created({ ...ADMIN, expiresAt: NOW + 10 }));
    expect(isReplaced(changedKey(expired, { expiresAt: null }, by, NOW + 10))).toBe(true);
  });

  it("is not replaced by a plain key or by other changes of an admin key", () => {
    expect(isReplaced(created({}))).toBe(false);
    const admin = delivered(created(ADMIN));
    expect(isReplaced(admin)).toBe(false);
    expect(isReplaced(changedKey(admin, { name: "ops" }, by, NOW))).toBe(false);
    expect(
      changedKey(delivered(created({})), ADMIN, { ...BY, firstKey: null }, NOW).pending.superseded,
    ).toBeNull();
  });

  it("stays pending until it is delivered, and stays valid if the new key was revoked before", () => {
    expect(isReplaced(changedKey(created(ADMIN), { name: "ops" }, BY, NOW))).toBe(true);
    expect(isReplaced(revokedKey(created(ADMIN), BY, NOW))).toBe(false);
  });
});

const withoutPending = (key: StoredKey): StoredKey => {
  const delivered = deliveredKey(key, key);
  return { ...delivered, pending: { ...delivered.pending, ledger: false } };
};

describe("any sequence of changes", () => {
  it("leaves at most two secrets, never undoes a revocation, and never shows a hash", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = seeded(seed);
      let key = keyOf();
      let now = NOW;
      let revokedAt: number | null = null;
      const live = new Map<string, number>([[A, Infinity]]);
      for (let step = 0; step < 40; step += 1) {
        now += random.integer(0, 2_000);
        const what = random.integer(0, 9);
        if (revokedAt === null && what < 4) {
          const [secretHash, graceMs] = [random.text("0123456789abcdef", 64), random.integer(0, 3) * 1_000];
          const newest = key.secrets[0]?.hash ?? "";
          key = rotatedKey(key, { secretHash, graceMs }, BY, now);
          for (const hash of live.keys()) live.set(hash, hash === newest ? now + graceMs : 0);
          live.set(secretHash, Infinity);
        } else if (what === 4) key = changedKey(key, { name: random.text("abc", 5) }, BY, now);
        else if (what === 5) key = usedKey(key, { month: "2026-11", tokens: random.integer(0, 99) });
        else if (what === 6 && random.chance(0.3)) {
          key = revokedKey(key, BY, now);
          revokedAt ??= now;
        }
        expect(key.secrets.length, `seed ${seed}`).toBeLessThanOrEqual(2);
        expect(key.revokedAt, `seed ${seed}`).toBe(revokedAt);
        for (const [hash, until] of live) {
          const kind = revokedAt === null && until > now ? "known" : "unknown";
          expect(identify(key, hash, now).kind, `seed ${seed}`).toBe(kind);
          expect(JSON.stringify(viewOf(key, now))).not.toContain(hash);
        }
      }
    }
  });
});
