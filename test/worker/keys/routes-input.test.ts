// Invalid input of operators: each refusal names the field and the expected value, and nothing is changed.
import { beforeEach, describe, expect, it } from "vitest";
import { captureLog, edgeOf, errorOf, type TestRequest, type Edge } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { forgetAllKeys, KEYS, newKey } from "../support/keys.ts";

const fleet = fleetOf({ limits: { perAddressPerSecond: 10_000, perKeyPerSecond: 1000 } });

function asAdmin(): { edge: Edge; admin: (path: string, init?: TestRequest) => Promise<Response> } {
  captureLog();
  const edge = edgeOf(fleet);
  return { edge, admin: async (path, init = {}) => edge(path, { key: "dev-admin", ...init }) };
}

beforeEach(forgetAllKeys);

const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

const BODIES: [what: string, body: object | string, status: number, param: string | null, message: string][] =
  [
    ["nothing", "", 400, null, "empty"],
    ["no JSON", "{", 400, null, "not valid JSON"],
    ["a list", "[]", 400, null, "JSON object"],
    ["null", "null", 400, null, "JSON object"],
    ["no name", {}, 400, "name", "name: is missing"],
    ["an empty name", { name: "  " }, 400, "name", "name: must have at least 1"],
    ["a name of control characters", { name: "a\u0000b" }, 400, "name", "control or format"],
    ["a name that reads backwards", { name: "a\u202eb" }, 400, "name", "control or format"],
    ["a name that is too long", { name: "n".repeat(129) }, 400, "name", "128"],
    ["a name that is a number", { name: 7 }, 400, "name", "string"],
    ["half a surrogate pair", '{"name":"\\ud83d"}', 400, "name", "surrogate"],
    ["an unknown field", { name: "x", colour: "red" }, 400, "colour", "the fields are: name, scopes, agents"],
    [
      "the prototype's name",
      '{"name":"x","__proto__":{"scopes":["admin"]}}',
      400,
      "__proto__",
      "unknown field",
    ],
    ["an unknown limit", { name: "x", limits: { persecond: 1 } }, 400, "limits.persecond", "perSecond"],
    ["no scope", { name: "x", scopes: [] }, 400, "scopes", "scopes"],
    ["an unknown scope", { name: "x", scopes: ["root"] }, 400, "scopes[0]", "must be one of infer, admin."],
    ["scopes as text", { name: "x", scopes: "admin" }, 400, "scopes", "must be an array; got a string."],
    [
      "an unknown agent type",
      { name: "x", agents: ["Alpha", "Gamma"] },
      400,
      "agents[1]",
      "Alpha, Beta, Default",
    ],
    ["no agent type at all", { name: "x", agents: [] }, 400, "agents", "agents"],
    ["too many agent types", { name: "x", agents: Array(101).fill("Alpha") }, 400, "agents", "100"],
    [
      "no request per second",
      { name: "x", limits: { perSecond: 0 } },
      400,
      "limits.perSecond",
      "limits.perSecond: must be at least 1; got 0.",
    ],
    [
      "a negative limit",
      { name: "x", limits: { perSecond: -5 } },
      400,
      "limits.perSecond",
      "at least 1; got -5.",
    ],
    [
      "half a request",
      { name: "x", limits: { perSecond: 0.5 } },
      400,
      "limits.perSecond",
      "must be an integer; got 0.5.",
    ],
    [
      "more than the fleet allows",
      { name: "x", limits: { perSecond: 1001 } },
      400,
      "limits.perSecond",
      "at most 1000",
    ],
    ["an absurd limit", { name: "x", limits: { perSecond: 1e15 } }, 400, "limits.perSecond", "100000"],
    [
      "an infinite limit",
      '{"name":"x","limits":{"perSecond":1e999}}',
      400,
      "limits.perSecond",
      "fits in 64 bits",
    ],
    ["a limit as text", { name: "x", limits: { perSecond: "10" } }, 400, "limits.perSecond", "number"],
    [
      "absurd tokens",
      { name: "x", limits: { tokensPerMonth: 1e13 } },
      400,
      "limits.tokensPerMonth",
      "1000000000000",
    ],
    ["no concurrent call", { name: "x", limits: { concurrent: 0 } }, 400, "limits.concurrent", "1"],
    [
      "a past date",
      { name: "x", expiresAt: "2020-01-01T00:00:00Z" },
      400,
      "expiresAt",
      "must be in the future",
    ],
    ["a past day", { name: "x", expiresAt: "2020-01-01" }, 400, "expiresAt", "must be in the future"],
    ["a day that doesn't exist", { name: "x", expiresAt: "2100-02-30" }, 400, "expiresAt", "such as"],
    ["a time without a zone", { name: "x", expiresAt: "2100-01-01T00:00:00" }, 400, "expiresAt", "such as"],
    ["a relative date", { name: "x", expiresAt: "tomorrow" }, 400, "expiresAt", "such as"],
    ["a date as a number", { name: "x", expiresAt: 4102444800000 }, 400, "expiresAt", "such as"],
    [
      "an unknown priority",
      { name: "x", priority: "urgent" },
      400,
      "priority",
      "must be one of high, normal, low.",
    ],
    ["an unknown policy", { name: "x", fallback: "maybe" }, 400, "fallback", "same-model"],
    ["yes as text", { name: "x", addressExempt: "yes" }, 400, "addressExempt", "boolean"],
    ["an id of its own", { name: "x", id: "mine" }, 400, "id", "unknown field"],
    ["a secret of its own", { name: "x", key: "isha_mine" }, 400, "key", "unknown field"],
    ["deep nesting", `{"name":${deep(70)}}`, 400, "name.(a key).(a key).(a key).(a key).(a key)", "deeper"],
    ["a very long name", `{"name":"${"n".repeat(70_000)}"}`, 413, null, "65536"],
  ];

describe("POST /admin/keys", () => {
  it.each(BODIES)("refuses %s with its field", async (_, body, status, param, message) => {
    const { admin } = asAdmin();
    const answer = await admin(KEYS, { method: "POST", body });
    expect(answer.status).toBe(status);
    const error = await errorOf(answer);
    expect(error.param).toBe(param);
    expect(error.message).toContain(message);
    expect(error.message.length).toBeLessThan(600);
    expect(await (await admin(KEYS)).json()).toMatchObject({ keys: [] });
  });

  it.each<[string, TestRequest, number]>([
    [
      "another type",
      { body: "name=x", headers: { "content-type": "application/x-www-form-urlencoded" } },
      415,
    ],
    ["packed", { body: { name: "x" }, headers: { "content-encoding": "gzip" } }, 415],
    ["no UTF-8", { body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]) }, 400],
  ])("refuses a body that is %s", async (_, init, status) => {
    expect((await asAdmin().admin(KEYS, init)).status).toBe(status);
  });

  it("reports several faults at once", async () => {
    const error = await errorOf(
      await asAdmin().admin(KEYS, { body: { limits: { perSecond: 0 }, priority: 1 } }),
    );
    expect(error.message).toMatch(
      /^name: is missing\. limits\.perSecond: must be at least 1; got 0\. priority: must be one of .*; got 1\.$/,
    );
  });

  it("shortens an unknown field's name, and replaces control characters", async () => {
    const error = await errorOf(
      await asAdmin().admin(KEYS, { body: { name: "x", [`a\nb${"c".repeat(500)}`]: 1 } }),
    );
    expect(error.param).toBe(`a?b${"c".repeat(37)}`);
    expect(error.message).not.toContain("c".repeat(38));
  });
});

describe("PATCH /admin/keys/:id", () => {
  it.each<[string, object, string | null, string]>([
    ["nothing", {}, null, "the body: must have at least one field to change."],
    ["an unknown field", { nmae: "x" }, "nmae", "the fields are: name"],
    ["a name that is null", { name: null }, "name", "string"],
    ["a past date", { expiresAt: "2020-01-01" }, "expiresAt", "DELETE /admin/keys/<id>"],
    ["more than the fleet allows", { limits: { perSecond: 5000 } }, "limits.perSecond", "at most 1000"],
    ["an unknown agent type", { agents: ["Gamma"] }, "agents[0]", "Alpha, Beta, Default"],
    ["its state", { state: "active" }, "state", "unknown field"],
    ["its revocation", { revokedAt: null }, "revokedAt", "unknown field"],
  ])("refuses %s, and changes nothing", async (_, body, param, message) => {
    const { edge, admin } = asAdmin();
    const { id, key: _key, ...before } = await newKey(edge);
    const answer = await admin(`${KEYS}/${id}`, { method: "PATCH", body });
    expect(answer.status).toBe(400);
    const error = await errorOf(answer);
    expect(error.param).toBe(param);
    expect(error.message).toContain(message);
    expect(await (await admin(`${KEYS}/${id}`)).json()).toEqual({ id, ...before });
  });
});

describe("POST /admin/keys/:id/rotate", () => {
  it.each([-1, 0.5, 31 * 86_400, "60", null])("refuses a grace period of %s", async (graceSeconds) => {
    const { edge, admin } = asAdmin();
    const { id } = await newKey(edge);
    const error = await errorOf(await admin(`${KEYS}/${id}/rotate`, { body: { graceSeconds } }));
    expect(error).toMatchObject({ code: "invalid_request", param: "graceSeconds" });
  });
});

describe("an id", () => {
  const CASES: [string, TestRequest][] = [
    ["", {}],
    ["", { method: "PATCH", body: { name: "x" } }],
    ["", { method: "DELETE" }],
    ["/rotate", { method: "POST" }],
  ];
  it.each([
    "Ab3dEf6hIj9k",
    "legacy_0123456789abcdef",
    "dev-key",
    "anonymous",
    "__proto__",
    "constructor",
    "ab",
    "a".repeat(65),
    "..%2f..%2fetc",
    "%00",
    "%zz",
    "a%20b",
    "%F0%9F%92%A9",
    "a;b",
    "main",
  ])("that no key has is a 404 for every request: %s", async (id) => {
    const { admin } = asAdmin();
    for (const [tail, init] of CASES) {
      const answer = await admin(`${KEYS}/${id}${tail}`, init);
      expect(answer.status).toBe(404);
      expect(await errorOf(answer)).toMatchObject({ code: "not_found" });
    }
  });

  it.each([
    `${KEYS}/`,
    `${KEYS}//`,
    `${KEYS}/a/b`,
    `${KEYS}/abc/rotate/`,
    "/admin",
    "/admin/",
    "/ADMIN/keys",
  ])("that is malformed is no route: %s", async (path) => {
    expect((await asAdmin().admin(path)).status).toBe(404);
  });
});

describe("a query", () => {
  it.each([
    [`${KEYS}?limit=0`, "limit", "1"],
    [`${KEYS}?limit=201`, "limit", "200"],
    [`${KEYS}?limit=ten`, "limit", "200"],
    [`${KEYS}?limit=1.5`, "limit", "must be an integer"],
    [`${KEYS}?limit=`, "limit", "1"],
    [`${KEYS}?state=gone`, "state", "must be one of active"],
    [`${KEYS}?page=2`, "page", "the fields are: state, after, limit"],
    [`${KEYS}?limit=5&limit=6`, "limit", "must not be repeated"],
    [`${KEYS}?after=unknown`, "after", "must be an existing key's id"],
    [`${KEYS}?after=legacy_0123456789abcdef`, "after", "must be an existing key's id"],
    [`${KEYS}?after=a%00b`, "after", "key's id"],
    ["/admin/audit?after=-1", "after", "next"],
    ["/admin/audit?after=x", "after", "next"],
    ["/admin/audit?target=a/b", "target", "key's id"],
    ["/admin/audit?limit=999", "limit", "200"],
    ["/admin/audit?actor=x", "actor", "the fields are: target, after, limit"],
  ])("that is invalid is refused with its field: %s", async (path, param, message) => {
    const answer = await asAdmin().admin(path);
    expect(answer.status).toBe(400);
    const error = await errorOf(answer);
    expect(error.param).toBe(param);
    expect(error.message).toContain(message);
  });
});

describe("a method that a route lacks", () => {
  it.each([
    [KEYS, ["PUT", "PATCH", "DELETE"], "POST, GET, HEAD"],
    [`${KEYS}/Ab3dEf6hIj9k`, ["POST", "PUT"], "GET, PATCH, DELETE, HEAD"],
    [`${KEYS}/Ab3dEf6hIj9k/rotate`, ["GET", "PATCH", "DELETE"], "POST"],
    ["/admin/audit", ["POST", "DELETE"], "GET, HEAD"],
  ])("is a 405 at %s, without a key", async (path, methods, allow) => {
    const { edge } = asAdmin();
    for (const method of methods) {
      const answer = await edge(path, { method, key: null });
      expect(answer.status).toBe(405);
      expect(answer.headers.get("allow")).toBe(allow);
    }
  });
});

describe("a key in a wrong form", () => {
  it.each<[string, TestRequest]>([
    ["two that disagree", { headers: { "x-api-key": "another" } }],
    ["with another scheme", { key: null, headers: { authorization: "Basic ZGV2LWFkbWluOng=" } }],
    ["two in one header", { key: null, headers: { authorization: "Bearer dev-admin, Bearer dev-key" } }],
    ["too long", { key: null, headers: { "x-api-key": "k".repeat(20_000) } }],
    ["with a wrong check character", { key: `isha_Ab3dEf6hIj9k_${"0".repeat(49)}` }],
    ["without an id", { key: "isha__" }],
    ["in other letters", { key: "DEV-ADMIN" }],
  ])("is refused: %s", async (_, init) => {
    const answer = await asAdmin().admin(KEYS, init);
    expect(answer.status).toBe(401);
    expect(await errorOf(answer)).toMatchObject({ code: "invalid_key" });
  });

  it("is not read from the query", async () => {
    const { edge } = asAdmin();
    expect((await edge(`${KEYS}?key=dev-admin`, { key: null })).status).toBe(401);
  });
});
