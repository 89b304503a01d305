import { describe, expect, it } from "vitest";
import * as z from "zod";
import {
  AuditEntry,
  AuditList,
  AuditQuery,
  KEY_FIELDS,
  KeyChange,
  KeyList,
  KeyListQuery,
  KeyRotation,
  KeyView,
  KeyWithSecret,
  NewKey,
  ROTATION_GRACE_S,
} from "../../shared/keys.ts";
import { keyView, legacyKeyView, viewAt } from "../../worker/keys/key-view.ts";
import { LEGACY_PREFIX, legacyKeys } from "../../worker/auth/credential.ts";
import { plainRecord } from "../../shared/principal.ts";

const NOW = Date.parse("2026-11-23T12:00:00Z");

describe("a body", () => {
  it("of a new key needs only a name", () => {
    expect(NewKey.parse({ name: "clinic" })).toEqual({
      name: "clinic",
      scopes: ["infer"],
      agents: null,
      limits: { concurrent: null, tokensPerMonth: null },
      priority: "normal",
      fallback: "auto",
      addressExempt: false,
      expiresAt: null,
    });
    expect(KeyRotation.parse({})).toEqual({ graceSeconds: ROTATION_GRACE_S });
  });

  it("has each scope once, in a fixed order", () => {
    expect(NewKey.parse({ name: "x", scopes: ["admin", "infer"] }).scopes).toEqual(["infer", "admin"]);
    expect(NewKey.parse({ name: "x", scopes: ["admin", "admin"] }).scopes).toEqual(["admin"]);
  });

  it("of a change gets no defaults", () => {
    expect(KeyChange.parse({ limits: { concurrent: null } })).toEqual({ limits: { concurrent: null } });
    expect(KeyChange.safeParse({}).success).toBe(false);
  });

  it("has field names that a refusal may contain", () => {
    for (const name of ["name", "limits", "perSecond", "expiresAt", "graceSeconds"])
      expect(KEY_FIELDS.has(name)).toBe(true);
  });
});

describe("a query", () => {
  it("has a default page size", () => {
    expect(KeyListQuery.parse({})).toEqual({ limit: 100 });
    expect(AuditQuery.parse({ limit: "7", target: "Ab3dEf6hIj9k" })).toEqual({
      limit: 7,
      target: "Ab3dEf6hIj9k",
    });
  });
});

describe("the schemas", () => {
  it.each([
    [NewKey, "NewKey", "input"],
    [KeyChange, "KeyChange", "input"],
    [KeyRotation, "KeyRotation", "input"],
    [KeyView, "Key", "output"],
    [KeyWithSecret, "KeyWithSecret", "output"],
    [KeyList, "KeyList", "output"],
    [AuditEntry, "AuditEntry", "output"],
    [AuditList, "AuditList", "output"],
  ] as const)("have a JSON schema with a name: %#, %s", (schema, id, io) => {
    expect(z.globalRegistry.get(schema)?.id).toBe(id);
    const written = z.toJSONSchema(schema, { io });
    expect(written.$defs?.[id]).toMatchObject({ type: "object", additionalProperties: false });
  });
});

describe("a key's view", () => {
  const times = { createdAt: NOW - 1_000, revokedAt: null, oldSecretUntil: NOW + 10 };
  const view = keyView("Ab3dEf6hIj9k", plainRecord("clinic", 10, { expiresAt: NOW + 20 }), times, NOW);

  it("matches its schema, and has its current state", () => {
    expect(KeyView.parse(view)).toEqual(view);
    expect(view).toMatchObject({ state: "active", oldSecretUntil: "2026-11-23T12:00:00.010Z" });
    expect(viewAt(view, NOW + 10)).toMatchObject({ state: "active", oldSecretUntil: null });
    expect(viewAt(view, NOW + 19)).toMatchObject({ state: "active" });
    expect(viewAt(view, NOW + 20)).toMatchObject({ state: "expired" });
    const revoked = { ...view, revokedAt: "2026-11-23T12:00:00.000Z" };
    expect(viewAt(revoked, NOW + 20)).toMatchObject({ state: "revoked", oldSecretUntil: null });
  });

  it("of the fleet file has no times but its end, and the id that names its object", () => {
    const sha256 = "0123456789abcdef".repeat(4);
    const legacy = {
      keys: [{ name: "old", sha256, agents: ["Alpha"], until: "2027-01-31" }],
      anonymous: null,
    };
    const [key] = legacyKeys({ legacy, limits: { perAddressPerSecond: 1, perKeyPerSecond: 7 } });
    expect(key?.keyId).toBe(`${LEGACY_PREFIX}0123456789abcdef`);
    const shown = legacyKeyView(key?.keyId ?? "", key?.record ?? plainRecord("", 0), NOW);
    expect(KeyView.parse(shown)).toMatchObject({
      state: "legacy",
      limits: { perSecond: 7 },
      createdAt: null,
      expiresAt: "2027-01-31T00:00:00.000Z",
    });
  });
});
