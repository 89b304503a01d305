import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readSettings, type Bindings } from "../../worker/env.ts";
import { BOX_SECRET } from "./support/edge.ts";

const bindings = (more: Partial<Bindings> = {}): Bindings => ({ ...env, BOX_SECRET, ...more });

describe("the edge's environment", () => {
  it("needs only a secret", () => {
    const { API_KEY, CLIENT_ADDRESS, KEY_REGISTRY, LEDGER, FLEET, ASSETS, ADDRESS_SHIELD } = env;
    const bare = { API_KEY, CLIENT_ADDRESS, KEY_REGISTRY, LEDGER, FLEET, ASSETS, ADDRESS_SHIELD };
    expect(readSettings({ ...bare, BOX_SECRET })).toEqual({
      boxSecret: BOX_SECRET,
      boxSecretPrevious: null,
      devKeys: false,
      boxOrigins: {},
      access: null,
      firstAdminSha256: null,
    });
  });

  it("is read as written", () => {
    const read = readSettings(
      bindings({
        DEV_KEYS: "1",
        BOX_ORIGINS: '{"north":"http://127.0.0.1:8000"}',
        ACCESS_CLIENT_ID: "id",
        ACCESS_CLIENT_SECRET: "words",
        FIRST_ADMIN_KEY_SHA256: "0a".repeat(32),
      }),
    );
    expect(read).toEqual({
      boxSecret: BOX_SECRET,
      boxSecretPrevious: null,
      devKeys: true,
      boxOrigins: { north: "http://127.0.0.1:8000" },
      access: { clientId: "id", clientSecret: "words" },
      firstAdminSha256: "0a".repeat(32),
    });
  });

  it("needs both parts of an Access token, or none", () => {
    for (const half of [{ ACCESS_CLIENT_ID: "id" }, { ACCESS_CLIENT_SECRET: "words" }])
      expect(() => readSettings(bindings(half))).toThrow(/must be set together/);
  });

  it("is validated once for each object that the platform passes", () => {
    const passed = bindings();
    expect(readSettings(passed)).toBe(readSettings(passed));
  });

  it.each<[string, Partial<Record<keyof Bindings, unknown>>, string]>([
    ["no secret", { BOX_SECRET: undefined }, "BOX_SECRET"],
    ["a short secret", { BOX_SECRET: "words" }, "BOX_SECRET"],
    ["a short previous secret", { BOX_SECRET_PREVIOUS: "words" }, "BOX_SECRET_PREVIOUS"],
    ["another value for yes", { DEV_KEYS: "words" }, "DEV_KEYS"],
    ["origins that are no JSON", { BOX_ORIGINS: "words" }, "BOX_ORIGINS"],
    ["origins that are a list", { BOX_ORIGINS: '["words"]' }, "BOX_ORIGINS"],
    ["a hash of half the length", { FIRST_ADMIN_KEY_SHA256: "0a".repeat(16) }, "FIRST_ADMIN_KEY_SHA256"],
    ["the key instead of its hash", { FIRST_ADMIN_KEY_SHA256: "isha_words" }, "FIRST_ADMIN_KEY_SHA256"],
    ["an origin that is no URL", { BOX_ORIGINS: '{"north":"words"}' }, "BOX_ORIGINS"],
  ])("is refused with the variable's name, never its value: %s", (_, wrong, name) => {
    const read = (): unknown => readSettings(bindings(wrong as Partial<Bindings>));
    expect(read).toThrow(name);
    expect(read).not.toThrow("words");
  });
});
