// Authentication through the complete edge: which requests are admitted, and how the others are refused.
import { describe, expect, it } from "vitest";
import { formatApiKey } from "../../../shared/api-key.ts";
import { ADDRESS_FREE_PER_SECOND } from "../../../shared/limits.ts";
import {
  captureLog,
  CHAT,
  chat,
  edgeOf,
  errorOf,
  newLegacyKey,
  stopClock,
  type TestRequest,
  type Edge,
} from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { counted, fakeAddresses, fakeKeys, known, lease } from "../support/limiters.ts";
import { agentAnswer, healthAnswer, fakeFetch } from "../support/origin.ts";
import { seeded } from "../support/random.ts";
import { noJitter } from "../../support/no-jitter.ts";

function quiet(): void {
  captureLog();
  fakeFetch((sent) =>
    sent.url.pathname === "/healthz" ? healthAnswer("north", { 9000: "ready" }) : agentAnswer("north", "{}"),
  );
}

describe("a request that needs a key", () => {
  it("and has none is a 401 that explains how to send one", async () => {
    quiet();
    const answer = await edgeOf(fleetOf())("/v1/models", { key: null });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: "missing_key", type: "authentication_error", param: null });
    expect(error.message).toContain("x-api-key");
  });

  it.each<[string, TestRequest]>([
    ["isn't one of ours", { key: "sk-1234567890" }],
    ["is mistyped", { key: `${formatApiKey("Ab3dEf6h", seeded(1).bytes(32)).slice(0, -1)}_` }],
    ["doesn't exist", { key: formatApiKey("Nobody01", seeded(1).bytes(32)) }],
    ["is sent with another scheme", { key: null, headers: { authorization: "Basic ZGV2OmtleQ==" } }],
    ["isn't a bearer token", { key: null, headers: { authorization: "dev-key" } }],
    ["differs between two headers", { key: "dev-key", headers: { "x-api-key": "dev-admin" } }],
    ["is longer than any key", { key: "k".repeat(600) }],
  ])("and sends one that %s is a 401 invalid_key", async (_, request) => {
    quiet();
    const answer = await edgeOf(fleetOf())("/v1/models", request);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect(await errorOf(answer)).toMatchObject({ code: "invalid_key" });
  });

  it("gets the same answer for a mistyped key as for one that doesn't exist", async () => {
    quiet();
    const edge = edgeOf(fleetOf());
    const known = formatApiKey("Nobody02", seeded(1).bytes(32));
    const messages = await Promise.all(
      [known, `${known}x`, "nonsense"].map(
        async (key) => (await errorOf(await edge("/v1/models", { key }))).message,
      ),
    );
    expect(new Set(messages).size).toBe(1);
  });

  it.each<[string, TestRequest]>([
    ["a bearer token", { key: "dev-key" }],
    ["x-api-key", { key: null, headers: { "x-api-key": "dev-key" } }],
    ["both, if they agree", { key: "dev-key", headers: { "x-api-key": "dev-key" } }],
  ])("can send it as %s", async (_, request) => {
    quiet();
    expect((await edgeOf(fleetOf())("/v1/models", request)).status).toBe(200);
  });

  it("is refused before its body is read", async () => {
    quiet();
    const answer = await edgeOf(fleetOf())(CHAT, { key: null, body: "no JSON at all" });
    expect(await errorOf(answer)).toMatchObject({ code: "missing_key" });
  });
});

describe("the development keys", () => {
  it.each(["localhost", "localhost:8787", "127.0.0.1", "127.0.0.1:8787", "[::1]", "[::1]:8787"])(
    "are accepted on %s with DEV_KEYS=1",
    async (host) => {
      quiet();
      expect((await edgeOf(fleetOf())("/v1/models", { host })).status).toBe(200);
    },
  );

  it.each([
    "edge.example",
    "localhost.example",
    "127.0.0.1.example",
    "xlocalhost",
    "127.0.0.2",
    "10.0.0.1",
    "0.0.0.0",
    "[::2]",
  ])("are invalid on %s", async (host) => {
    quiet();
    for (const key of ["dev-key", "dev-admin"])
      expect((await edgeOf(fleetOf())("/v1/models", { host, key, scheme: "https" })).status).toBe(401);
  });

  it.each(["", "0"])("are invalid with DEV_KEYS '%s', on any host", async (DEV_KEYS) => {
    quiet();
    for (const key of ["dev-key", "dev-admin"])
      expect((await edgeOf(fleetOf(), { bindings: { DEV_KEYS } })("/v1/models", { key })).status).toBe(401);
  });

  it.each([
    ["GET", "/v1/models"],
    ["GET", "/v1/models/Alpha"],
    ["POST", CHAT],
  ])("for administration only can't call the models: %s %s", async (method, path) => {
    quiet();
    const edge = edgeOf(fleetOf());
    const { key } = await newKey(edge, { scopes: ["admin"] });
    const answer = await edge(path, { method, key, ...(method === "POST" ? { body: chat() } : {}) });
    expect(answer.status).toBe(403);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: "scope_missing", type: "permission_error" });
    expect(error.message).toContain("infer");
  });
});

describe("a key of the old system", () => {
  it("is accepted, with a warning on every answer, refusals included", async () => {
    quiet();
    const key = await newLegacyKey();
    const edge = edgeOf(fleetOf({ legacy: { keys: [key.line], anonymous: null } }));
    const answers = [
      await edge("/v1/models", { key: key.text }),
      await edge(CHAT, { key: key.text, body: chat() }),
      await edge(CHAT, { key: key.text, body: "no JSON" }),
      await edge("/v1/models/Nothing", { key: key.text }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 404]);
    for (const answer of answers) expect(answer.headers.get("warning")).toMatch(/^299 - ".*old system.*"$/);
  });

  it("works on any host and without development keys, even if its text is that of one", async () => {
    quiet();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("dev-key")));
    const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const fleet = fleetOf({
      legacy: { keys: [{ name: "old-dev-key", sha256: hash, until: "2999-12-31" }], anonymous: null },
    });
    const answer = await edgeOf(fleet, { bindings: { DEV_KEYS: "" } })("/v1/models", {
      host: "edge.example",
      scheme: "https",
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("warning")).toMatch(/^299 /);
  });

  it("limited to agent types can call only those", async () => {
    quiet();
    const key = await newLegacyKey(["Alpha"]);
    const edge = edgeOf(fleetOf({ legacy: { keys: [key.line], anonymous: null } }));
    expect((await edge(CHAT, { key: key.text, body: chat({ agent_type: "alpha" }) })).status).toBe(200);
    const refused = await edge(CHAT, { key: key.text, body: chat({ agent_type: "Beta" }) });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(await errorOf(refused)).toMatchObject({ code: "agent_not_allowed" });
  });

  it("is refused as expired from its end date on: it was valid for ever", async () => {
    quiet();
    const clock = stopClock(Date.parse("2096-12-30T23:59:59Z"));
    const key = await newLegacyKey(null, "2096-12-31");
    const edge = edgeOf(fleetOf({ legacy: { keys: [key.line], anonymous: null } }));
    const answer = await edge("/v1/models", { key: key.text });
    expect([answer.status, answer.headers.get("warning")]).toEqual([
      200,
      expect.stringContaining("2096-12-31"),
    ]);
    clock.to(Date.parse("2096-12-31T00:00:00Z"));
    const refused = await edge("/v1/models", { key: key.text });
    expect(refused.status).toBe(401);
    const { code, message } = await errorOf(refused);
    expect(code).toBe("expired_key");
    expect(message).toContain("Ask the service operator for a new one");
  });

  it("is the only one with a warning", async () => {
    quiet();
    expect((await edgeOf(fleetOf())("/v1/models")).headers.has("warning")).toBe(false);
  });
});

describe("calls without a key, if the fleet file still accepts them", () => {
  const until = "2026-12-31";
  const fleet = fleetOf({ legacy: { keys: [], anonymous: { agents: ["Alpha"], until } } });
  const before = Date.parse(`${until}T00:00:00Z`) - 1;

  it("are admitted until their date, with a warning that names it", async () => {
    quiet();
    const clock = stopClock(before);
    const edge = edgeOf(fleet);
    const body = chat({ agent_type: "Alpha" });
    const answer = await edge(CHAT, { key: null, body });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("warning")).toContain(until);
    clock.to(before + 1);
    const later = await edge(CHAT, { key: null, body });
    expect(later.status).toBe(401);
    expect(await errorOf(later)).toMatchObject({ code: "missing_key" });
  });

  it("can call only their agent types", async () => {
    quiet();
    stopClock(before);
    const answer = await edgeOf(fleet)(CHAT, { key: null, body: chat({ agent_type: "Beta" }) });
    expect(await errorOf(answer)).toMatchObject({ code: "agent_not_allowed" });
  });

  it("don't make a wrong key a right one", async () => {
    quiet();
    stopClock(before);
    expect((await edgeOf(fleet)("/v1/models", { key: "nonsense" })).status).toBe(401);
  });

  it("count against their address", async () => {
    quiet();
    stopClock(before);
    const limits = { perAddressPerSecond: 2, perKeyPerSecond: 1000 };
    const edge = edgeOf({ ...fleet, limits });
    const all = await Promise.all([1, 2, 3].map(async () => edge("/v1/models", { key: null })));
    expect(all.filter(({ status }) => status === 200).length).toBe(2);
  });
});

describe("the limiters", () => {
  it("are called in parallel for each request: neither waits for the other's answer", async () => {
    quiet();
    stopClock(1_790_000_000_500);
    const key = await newLegacyKey();
    const fleet = fleetOf({ legacy: { keys: [key.line], anonymous: null } });
    // Neither object answers before the other is called.
    const met = meeting();
    const one = lease(1, 500, { remaining: 50 });
    const keys = fakeKeys(async () => {
      await met();
      return known(one);
    });
    const addresses = fakeAddresses(async () => {
      await met();
      return counted(one);
    });
    const edge = edgeOf(fleet, { bindings: { API_KEY: keys.binding, CLIENT_ADDRESS: addresses.binding } });
    await useFreePasses(edge);
    for (const _ of [1, 2, 3]) expect((await edge("/v1/models", { key: key.text })).status).toBe(200);
    expect([keys.requests.length, addresses.requests.length]).toEqual([3, 3]);
  });

  it("of addresses aren't called again for a key that is known to be exempt from them", async () => {
    quiet();
    const addresses = fakeAddresses(() => counted(lease(1)));
    const edge = edgeOf(fleetOf(), { bindings: { CLIENT_ADDRESS: addresses.binding } });
    for (const _ of [1, 2, 3]) expect((await edge("/v1/models")).status).toBe(200);
    expect(addresses.requests.length).toBeLessThanOrEqual(1);
  });
});

describe("if a limiter doesn't answer, nothing is admitted", () => {
  const fails = (): never => {
    throw new Error("text of the object");
  };

  it.each([
    ["key's", "API_KEY", "/v1/models"],
    ["address's", "CLIENT_ADDRESS", "/livez"],
  ] as const)("the %s", async (_, which, path) => {
    quiet();
    stopClock(1_790_000_000_500);
    const key = await newLegacyKey();
    const bindings = {
      API_KEY: fakeKeys(fails).binding,
      CLIENT_ADDRESS: fakeAddresses(() => counted(lease(1))).binding,
      ...(which === "CLIENT_ADDRESS" ? { CLIENT_ADDRESS: fakeAddresses(fails).binding } : {}),
    };
    const edge = edgeOf(fleetOf({ legacy: { keys: [key.line], anonymous: null } }), { bindings });
    await useFreePasses(edge);
    noJitter();
    const answer = await edge(path, { key: key.text });
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("1");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: "limiter_unavailable" });
    expect(JSON.stringify(error)).not.toContain("text of the object");
  });

  it("except a key that is exempt from the address limit, if the address's fails", async () => {
    quiet();
    const edge = edgeOf(fleetOf(), { bindings: { CLIENT_ADDRESS: fakeAddresses(fails).binding } });
    expect((await edge("/v1/models")).status).toBe(200);
  });
});

/** Uses the address's free passes of this second. */
async function useFreePasses(edge: Edge): Promise<void> {
  for (let call = 0; call < ADDRESS_FREE_PER_SECOND; call += 1)
    expect((await edge("/livez", { key: null })).status).toBe(200);
}

/** A meeting point: each caller waits for the next one. */
function meeting(): () => Promise<void> {
  let waiting: (() => void) | null = null;
  return async () => {
    if (waiting === null) return new Promise((resolve) => (waiting = resolve));
    waiting();
    waiting = null;
  };
}
