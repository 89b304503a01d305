// The key of a request, and what its text resolves to.
import { describe, expect, it } from "vitest";
import { formatApiKey } from "../../../shared/api-key.ts";
import { anonymousRecord, readCredential, resolveClaim, INVALID } from "../../../worker/auth/credential.ts";
import { fleetOf } from "../support/fleets.ts";
import { seeded } from "../support/random.ts";

const HASH = "0123456789abcdef".repeat(4);

/** Keys that the environment accepts. */
const NOTHING = { devKeys: false, firstAdminSha256: null };
const DEV = { devKeys: true, firstAdminSha256: null };

describe("readCredential", () => {
  it.each<[string, string | undefined, string | undefined, string | null]>([
    ["nothing", undefined, undefined, null],
    ["a bearer token", "Bearer abc", undefined, "abc"],
    ["a bearer token in another case", "bEARER abc", undefined, "abc"],
    ["a bearer token with spaces around it", "Bearer   abc ", undefined, "abc"],
    ["x-api-key", undefined, "abc", "abc"],
    ["both, the same", "Bearer abc", "abc", "abc"],
    ["an empty x-api-key", undefined, "", null],
  ])("finds %s", (_, authorization, apiKey, shown) => {
    expect(readCredential(authorization, apiKey)).toEqual({ ok: true, value: shown });
  });

  it.each([
    "",
    "abc",
    "Bearer",
    "Bearer ",
    "Basic YTpi",
    "Bearer a b",
    "Bearer\tabc",
    "Token abc",
    "Bearerabc",
  ])("refuses the Authorization '%s', explaining the right form", (authorization) => {
    const shown = readCredential(authorization, undefined);
    expect(shown).toMatchObject({ ok: false, refusal: { code: "invalid_key" } });
    expect(JSON.stringify(shown)).toContain("Bearer <key>");
  });

  it("refuses a malformed Authorization though x-api-key is fine", () => {
    expect(readCredential("Basic YTpi", "abc")).toMatchObject({ ok: false });
  });

  it("refuses two keys that disagree, and repeats neither", () => {
    const shown = readCredential("Bearer first-one", "second-one");
    expect(shown).toMatchObject({ ok: false, refusal: { code: "invalid_key" } });
    expect(JSON.stringify(shown)).not.toMatch(/first-one|second-one/);
  });

  it("refuses a key that is longer than any, without reading it", () => {
    expect(readCredential(`Bearer ${"k".repeat(513)}`, undefined)).toMatchObject({ ok: false });
    expect(readCredential(undefined, "k".repeat(513))).toMatchObject({ ok: false });
    expect(readCredential(undefined, "k".repeat(512)).ok).toBe(true);
  });
});

describe("resolveClaim", () => {
  const fleet = fleetOf({
    limits: { perAddressPerSecond: 10, perKeyPerSecond: 77 },
    legacy: {
      keys: [{ name: "old-app", sha256: HASH, agents: ["Alpha"], until: "2027-01-31" }],
      anonymous: null,
    },
  });
  const other = "f".repeat(64);

  it("recognizes a key of the old system by its hash, whatever its form, and warns of its end", () => {
    expect(resolveClaim("dev-key", HASH, fleet, NOTHING)).toMatchObject({
      ok: true,
      value: {
        keyId: `legacy_${HASH.slice(0, 16)}`,
        builtInRecord: {
          name: "old-app",
          scopes: ["infer"],
          agents: ["Alpha"],
          limits: { perSecond: 77 },
          addressExempt: false,
          expiresAt: Date.parse("2027-01-31T00:00:00Z"),
        },
        warning: expect.stringMatching(/old system.*2027-01-31/) as string,
      },
    });
  });

  it("checks the old keys before the development ones", () => {
    expect(resolveClaim("dev-key", HASH, fleet, DEV)).toMatchObject({
      value: { builtInRecord: { name: "old-app" } },
    });
  });

  it.each([
    ["dev-key", ["infer"]],
    ["dev-admin", ["infer", "admin"]],
  ])(
    "accepts %s with the scopes %j only, exempt from the address limit, if development keys are accepted",
    (key, scopes) => {
      expect(resolveClaim(key, other, fleet, DEV)).toMatchObject({
        ok: true,
        value: {
          keyId: key,
          builtInRecord: { scopes, addressExempt: true, agents: null },
          warning: null,
        },
      });
      expect(resolveClaim(key, other, fleet, NOTHING)).toMatchObject({
        ok: false,
        refusal: { code: "invalid_key" },
      });
    },
  );

  it.each(["Dev-Key", "dev-key2", "constructor", "__proto__", "toString", "hasOwnProperty"])(
    "doesn't mistake '%s' for a development key",
    (key) => {
      expect(resolveClaim(key, other, fleet, DEV)).toMatchObject({
        ok: false,
        refusal: { code: "invalid_key" },
      });
    },
  );

  it("reads a key's id from its text, and leaves its record to its object", () => {
    const key = formatApiKey("Ab3dEf6h", seeded(3).bytes(32));
    expect(resolveClaim(key, other, fleet, NOTHING)).toEqual({
      ok: true,
      value: { keyId: "Ab3dEf6h", secretHash: other, builtInRecord: null, first: false, warning: null },
    });
  });

  it("recognizes the deployment's first admin key by its hash: both scopes, at its own id's object", () => {
    const key = formatApiKey("Ab3dEf6h", seeded(3).bytes(32));
    const accepted = { devKeys: false, firstAdminSha256: other };
    expect(resolveClaim(key, other, fleet, accepted)).toMatchObject({
      ok: true,
      value: {
        keyId: "Ab3dEf6h",
        first: true,
        builtInRecord: {
          name: "first admin key",
          scopes: ["infer", "admin"],
          addressExempt: true,
          agents: null,
        },
      },
    });
    expect(resolveClaim(key, "e".repeat(64), fleet, accepted)).toMatchObject({
      value: { first: false, builtInRecord: null },
    });
    // A hash can belong to any text; a key of another form has no object.
    expect(resolveClaim("nonsense", other, fleet, accepted)).toMatchObject({
      refusal: { code: "invalid_key" },
    });
  });

  it("refuses a mistyped key with the same text as one that never existed", () => {
    const key = formatApiKey("Ab3dEf6h", seeded(3).bytes(32));
    for (const wrong of [`${key.slice(0, -1)}!`, "nonsense", key.slice(1)])
      expect(resolveClaim(wrong, other, fleet, DEV)).toMatchObject({
        refusal: { code: "invalid_key", message: INVALID },
      });
  });
});

describe("anonymousRecord", () => {
  const until = (date: string, agents: string[] | null = null) =>
    fleetOf({ legacy: { keys: [], anonymous: { agents, until: date } } });
  const at = (time: string): number => Date.parse(time);

  it("is null if the fleet file names no date", () => {
    expect(anonymousRecord(fleetOf(), at("2026-01-01T00:00:00Z"))).toBeNull();
  });

  it("ends at the first moment of its date", () => {
    const fleet = until("2026-06-01");
    expect(anonymousRecord(fleet, at("2026-05-31T23:59:59.999Z"))).not.toBeNull();
    expect(anonymousRecord(fleet, at("2026-06-01T00:00:00.000Z"))).toBeNull();
    expect(anonymousRecord(fleet, at("2027-01-01T00:00:00Z"))).toBeNull();
  });

  it("has only the scope `infer` and its agent types, and states until when", () => {
    expect(anonymousRecord(until("2026-06-01", ["Alpha"]), 0)).toMatchObject({
      record: { scopes: ["infer"], agents: ["Alpha"], addressExempt: false },
      warning: expect.stringContaining("2026-06-01") as string,
    });
  });
});
