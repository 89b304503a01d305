// /admin/keys over the whole edge: the life of a key, permissions, and the lists.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { apiKeyId } from "../../../shared/api-key.ts";
import { KeyList, KeyView, KeyWithSecret, type AuditList } from "../../../shared/keys.ts";
import { Fleet } from "../../../worker/fleet/object/fleet-object.ts";
import {
  captureLog,
  edgeOf,
  errorOf,
  newLegacyKey,
  stopClock,
  type TestRequest,
  type Edge,
} from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { forgetAllKeys, KEYS, newKey } from "../support/keys.ts";
import { healthAnswer, fakeFetch } from "../support/origin.ts";

const MODELS = "/v1/models";

/** A deployment for one test, with requests of its administrator. */
function deployment(fleet = fleetOf()): {
  edge: Edge;
  admin: (path: string, init?: TestRequest) => Promise<Response>;
} {
  captureLog();
  fakeFetch(() => healthAnswer("north", { 9000: "ready" }));
  vi.spyOn(Fleet.prototype, "revoke").mockImplementation(() => undefined);
  const edge = edgeOf(fleet);
  return { edge, admin: async (path, init = {}) => edge(path, { key: "dev-admin", ...init }) };
}

const statusOf = async (answer: Promise<Response>): Promise<number> => (await answer).status;

beforeEach(async () => {
  await forgetAllKeys();
  return () => vi.restoreAllMocks();
});

describe("a new key", () => {
  it("is returned once, works at once, and is never returned again", async () => {
    const { edge, admin } = deployment();
    const answer = await admin(KEYS, { body: { name: "clinic" } });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const made = KeyWithSecret.parse(await answer.json());
    expect(apiKeyId(made.key)).toBe(made.id);
    expect(await statusOf(edge(MODELS, { key: made.key }))).toBe(200);
    const secret = made.key.slice(made.key.lastIndexOf("_") + 1);
    for (const path of [`${KEYS}/${made.id}`, KEYS, "/admin/audit"])
      expect(await (await admin(path)).text(), path).not.toContain(secret);
  });

  it("with only a name has the default limits", async () => {
    const { edge } = deployment(fleetOf({ limits: { perAddressPerSecond: 1000, perKeyPerSecond: 977 } }));
    expect(await newKey(edge, { name: "  clinic " })).toMatchObject({
      name: "clinic",
      state: "active",
      scopes: ["infer"],
      agents: null,
      limits: { perSecond: 977, concurrent: null, tokensPerMonth: null },
      priority: "normal",
      fallback: "auto",
      addressExempt: false,
      expiresAt: null,
      revokedAt: null,
      oldSecretUntil: null,
    });
  });

  it("accepts agent types in any letter case, each once, and Default", async () => {
    const { edge } = deployment();
    const made = await newKey(edge, { agents: ["alpha", "ALPHA", "default"] });
    expect(made.agents).toEqual(["Alpha", "Default"]);
  });

  it("may expire on a day, or at a time in any zone", async () => {
    const { edge } = deployment();
    expect((await newKey(edge, { expiresAt: "2100-01-02" })).expiresAt).toBe("2100-01-02T00:00:00.000Z");
    expect((await newKey(edge, { expiresAt: "2100-01-02T01:00:00+02:00" })).expiresAt).toBe(
      "2100-01-01T23:00:00.000Z",
    );
  });

  it("may use only its agent types, until it is changed", async () => {
    const { edge, admin } = deployment();
    const { id, key } = await newKey(edge, { agents: ["Alpha"] });
    const seen = async (isolate: Edge): Promise<number> => statusOf(isolate(`${MODELS}/Beta`, { key }));
    expect(await seen(edge)).toBe(404);
    await admin(`${KEYS}/${id}`, { method: "PATCH", body: { agents: ["beta"] } });
    expect(await seen(edgeOf(fleetOf()))).toBe(200);
  });

  it("expires to the millisecond, and is refused as an expired key", async () => {
    const clock = stopClock(Date.parse("2026-11-23T12:00:00.100Z"));
    const { edge } = deployment();
    const { key } = await newKey(edge, { expiresAt: "2026-11-23T12:00:00.500Z" });
    expect(await statusOf(edge(MODELS, { key }))).toBe(200);
    clock.to(Date.parse("2026-11-23T12:00:00.500Z"));
    const answer = await edge(MODELS, { key });
    expect(answer.status).toBe(401);
    expect(await errorOf(answer)).toMatchObject({ code: "expired_key" });
  });
});

describe("a change", () => {
  it("is merged into the record", async () => {
    const { edge, admin } = deployment();
    const made = await newKey(edge, { agents: ["Alpha"], limits: { perSecond: 5, concurrent: 2 } });
    const change = { limits: { perSecond: 9 }, priority: "low" };
    const answer = await admin(`${KEYS}/${made.id}`, { method: "PATCH", body: change });
    expect(answer.status).toBe(200);
    const { key: _, ...before } = made;
    expect(await answer.json()).toEqual({
      ...before,
      priority: "low",
      limits: { perSecond: 9, concurrent: 2, tokensPerMonth: null },
    });
  });

  it("can reactivate an expired key, and is ignored if nothing differs", async () => {
    const clock = stopClock(Date.parse("2026-11-23T12:00:00Z"));
    const { edge, admin } = deployment();
    const { id } = await newKey(edge, { expiresAt: "2026-11-23T12:00:01Z" });
    clock.to(Date.parse("2026-11-23T12:00:02Z"));
    expect(await (await admin(`${KEYS}/${id}`)).json()).toMatchObject({ state: "expired" });
    const path = `${KEYS}/${id}`;
    expect(await errorOf(await admin(`${path}/rotate`, { method: "POST" }))).toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("expired") as string,
    });
    const revived = await admin(path, { method: "PATCH", body: { expiresAt: null } });
    expect(await revived.json()).toMatchObject({ state: "active", expiresAt: null });
    await admin(path, { method: "PATCH", body: { expiresAt: null } });
    const audit = await (await admin(`/admin/audit?target=${id}`)).json<AuditList>();
    expect(audit.entries.map(({ action }) => action)).toEqual(["key.change", "key.create"]);
  });
});

describe("rotation", () => {
  it("returns a second secret; the first one is valid until the grace period ends", async () => {
    const clock = stopClock(Date.parse("2026-11-23T12:00:00Z"));
    const { edge, admin } = deployment();
    const made = await newKey(edge);
    const answer = await admin(`${KEYS}/${made.id}/rotate`, { body: { graceSeconds: 60 } });
    expect(answer.status).toBe(200);
    const rotated = KeyWithSecret.parse(await answer.json());
    expect(rotated).toMatchObject({ id: made.id, oldSecretUntil: "2026-11-23T12:01:00.000Z" });
    for (const { key } of [made, rotated]) expect(await statusOf(edge(MODELS, { key }))).toBe(200);
    clock.to(Date.parse("2026-11-23T12:01:00Z"));
    expect(await statusOf(edge(MODELS, { key: made.key }))).toBe(401);
    expect(await statusOf(edge(MODELS, { key: rotated.key }))).toBe(200);
  });

  it("without a body has a grace period of a day", async () => {
    stopClock(Date.parse("2026-11-23T12:00:00Z"));
    const { edge, admin } = deployment();
    const { id } = await newKey(edge);
    const answer = await admin(`${KEYS}/${id}/rotate`, { method: "POST" });
    expect(await answer.json()).toMatchObject({ oldSecretUntil: "2026-11-24T12:00:00.000Z" });
  });

  it("without a grace period ends the old secret in every isolate within a second", async () => {
    const clock = stopClock(Date.parse("2026-11-23T12:00:00Z"));
    const { edge, admin } = deployment();
    const { id, key } = await newKey(edge);
    expect(await statusOf(edge(MODELS, { key }))).toBe(200);
    await admin(`${KEYS}/${id}/rotate`, { body: { graceSeconds: 0 } });
    expect(await statusOf(edgeOf(fleetOf())(MODELS, { key }))).toBe(401);
    clock.to(Date.parse("2026-11-23T12:00:01Z"));
    expect(await statusOf(edge(MODELS, { key }))).toBe(401);
  });
});

describe("revocation", () => {
  it("is final, and the key is refused like an unknown one", async () => {
    const { edge, admin } = deployment();
    const { id, key } = await newKey(edge);
    const path = `${KEYS}/${id}`;
    const first = await admin(path, { method: "DELETE" });
    expect(first.status).toBe(200);
    const view = KeyView.parse(await first.json());
    expect(view.state).toBe("revoked");
    expect(await (await admin(path, { method: "DELETE" })).json()).toEqual(view);
    expect(await (await admin(path)).json()).toEqual(view);
    const refused = await edgeOf(fleetOf())(MODELS, { key });
    expect(await errorOf(refused)).toMatchObject({ code: "invalid_key" });
    for (const init of [
      { path, method: "PATCH", body: { name: "x" } },
      { path: `${path}/rotate`, method: "POST", body: {} },
    ]) {
      const answer = await admin(init.path, init);
      expect(answer.status).toBe(400);
      expect((await errorOf(answer)).message).toMatch(/revoked on .*Create a new key/);
    }
  });

  it("is sent to the boxes; a failure is logged with its code only", async () => {
    const { edge, admin } = deployment();
    const { id } = await newKey(edge);
    const sent = vi.spyOn(Fleet.prototype, "revoke").mockImplementation(() => {
      throw new Error("words of the link");
    });
    const log = captureLog();
    expect((await admin(`${KEYS}/${id}`, { method: "DELETE" })).status).toBe(200);
    await edge.settled();
    expect(sent).toHaveBeenCalledWith(id);
    expect(log.filter((line) => line.includes('"trouble"')).join()).toContain(
      `revocation_not_sent","key":"${id}"`,
    );
    expect(log.join()).not.toContain("words of the link");
  });
});

describe("permission to", () => {
  it.each<[string, string, TestRequest]>([
    ["list", KEYS, {}],
    ["see", `${KEYS}/Ab3dEf6hIj9k`, {}],
    ["create", KEYS, { body: { name: "x" } }],
    ["change", `${KEYS}/Ab3dEf6hIj9k`, { method: "PATCH", body: { name: "x" } }],
    ["revoke", `${KEYS}/Ab3dEf6hIj9k`, { method: "DELETE" }],
    ["rotate", `${KEYS}/Ab3dEf6hIj9k/rotate`, { method: "POST" }],
    ["read the audit", "/admin/audit", {}],
  ])("%s is only for admin keys, and not for pages of other sites", async (_, path, init) => {
    const { edge } = deployment();
    expect(await statusOf(edge(path, { ...init, key: null }))).toBe(401);
    const plain = await edge(path, { ...init, key: "dev-key", headers: { origin: "https://a.example" } });
    expect(plain.status).toBe(403);
    expect(await errorOf(plain)).toMatchObject({ code: "scope_missing" });
    expect(plain.headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await edge(path, {
      method: "OPTIONS",
      key: null,
      headers: { origin: "https://a.example" },
    });
    expect(preflight.status).toBe(405);
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("use the admin API comes with the admin scope", async () => {
    const { edge } = deployment();
    const { key } = await newKey(edge, { scopes: ["admin"] });
    expect(await statusOf(edge(KEYS, { key }))).toBe(200);
    expect(await statusOf(edge(MODELS, { key }))).toBe(403);
  });

  it("end the last admin key is refused to that key itself: to revoke it, to narrow it, or to let it expire sooner", async () => {
    const { edge } = deployment();
    const { id, key } = await newKey(edge, { scopes: ["infer", "admin"] });
    const attempts: TestRequest[] = [
      { method: "DELETE", key },
      { method: "PATCH", key, body: { scopes: ["infer"] } },
      { method: "PATCH", key, body: { expiresAt: "2999-01-01" } },
    ];
    for (const init of attempts) {
      const answer = await edge(`${KEYS}/${id}`, init);
      expect(answer.status).toBe(400);
      expect((await errorOf(answer)).message).toContain("First create another admin key");
    }
    const other = await newKey(edge, { scopes: ["admin"] });
    expect(await statusOf(edge(`${KEYS}/${id}`, { method: "DELETE", key }))).toBe(200);
    expect(await statusOf(edge(`${KEYS}/${other.id}`, { method: "DELETE", key: other.key }))).toBe(400);
    expect(await statusOf(edge(`${KEYS}/${other.id}`, { method: "DELETE", key: "dev-admin" }))).toBe(200);
  });

  it("change the expiry of the last admin key needs another one that lasts as long, unless the date is later", async () => {
    const { edge } = deployment();
    const { id, key } = await newKey(edge, { scopes: ["admin"], expiresAt: "2999-01-01" });
    const until = (expiresAt: string | null) =>
      statusOf(edge(`${KEYS}/${id}`, { method: "PATCH", key, body: { expiresAt } }));
    expect(await until("2999-06-01")).toBe(200);
    expect(await until("2999-01-01")).toBe(400);
    await newKey(edge, { scopes: ["admin"], expiresAt: "2998-01-01" });
    expect(await until("2999-01-01")).toBe(400);
    expect(await until("2997-01-01")).toBe(200);
    expect(await until(null)).toBe(200);
  });
});

describe("the list", () => {
  it("has the created keys, then those of the fleet file, over pages of any size", async () => {
    const old = [await newLegacyKey(["Alpha"]), await newLegacyKey()];
    const fleet = fleetOf({ legacy: { keys: old.map(({ line }) => line), anonymous: null } });
    const { edge, admin } = deployment(fleet);
    const made = [await newKey(edge), await newKey(edge), await newKey(edge)];
    const expected = [
      ...made.map(({ id }) => id),
      ...old.map(({ line }) => `legacy_${line.sha256.slice(0, 16)}`),
    ];
    for (const limit of [1, 2, 3, 4, 5, 200]) {
      const seen: string[] = [];
      let query = `?limit=${limit}`;
      for (let pages = 0; pages < 10 && query !== ""; pages += 1) {
        const page = KeyList.parse(await (await admin(`${KEYS}${query}`)).json());
        seen.push(...page.keys.map(({ id }) => id));
        query = page.next === null ? "" : `?limit=${limit}&after=${page.next}`;
      }
      expect(seen, `pages of ${limit}`).toEqual(expected);
    }
  });

  it("filters by state", async () => {
    const old = await newLegacyKey();
    const { edge, admin } = deployment(fleetOf({ legacy: { keys: [old.line], anonymous: null } }));
    const [gone, here] = [await newKey(edge), await newKey(edge)];
    await admin(`${KEYS}/${gone.id}`, { method: "DELETE" });
    const idsOf = async (state: string): Promise<string[]> => {
      const list = KeyList.parse(await (await admin(`${KEYS}?state=${state}`)).json());
      return list.keys.map(({ id }) => id);
    };
    expect(await idsOf("active")).toEqual([here.id]);
    expect(await idsOf("revoked")).toEqual([gone.id]);
    expect(await idsOf("expired")).toEqual([]);
    expect(await idsOf("legacy")).toEqual([`legacy_${old.line.sha256.slice(0, 16)}`]);
  });

  it("includes keys of the fleet file, which only the file can change", async () => {
    const old = await newLegacyKey(["Alpha"]);
    const { edge, admin } = deployment(fleetOf({ legacy: { keys: [old.line], anonymous: null } }));
    const path = `${KEYS}/legacy_${old.line.sha256.slice(0, 16)}`;
    const shown = KeyView.parse(await (await admin(path)).json());
    expect(shown).toMatchObject({
      name: "old",
      state: "legacy",
      agents: ["Alpha"],
      createdAt: null,
      expiresAt: "2999-12-31T00:00:00.000Z",
    });
    const attempts: [string, TestRequest][] = [
      [path, { method: "PATCH", body: { name: "x" } }],
      [path, { method: "DELETE" }],
      [`${path}/rotate`, { method: "POST" }],
    ];
    for (const [where, init] of attempts) {
      const answer = await admin(where, init);
      expect(answer.status).toBe(400);
      expect((await errorOf(answer)).message).toContain("legacy.keys");
    }
    expect(await statusOf(edge(MODELS, { key: old.text }))).toBe(200);
  });
});

describe("HEAD", () => {
  it.each([KEYS, "/admin/audit"])("of %s is its GET without the body", async (path) => {
    const { admin } = deployment();
    const [get, head] = [await admin(path), await admin(path, { method: "HEAD" })];
    expect([head.status, head.headers.get("content-type")]).toEqual([
      get.status,
      get.headers.get("content-type"),
    ]);
    expect(await head.text()).toBe("");
  });
});
