// The route table over the whole edge: its routes, unknown routes, and the headers of every answer.
import { describe, expect, it } from "vitest";
import { captureLog, CHAT, chat, edgeOf, errorOf, type TestRequest, type Edge } from "./support/edge.ts";
import { fleetOf } from "./support/fleets.ts";
import { agentAnswer, healthAnswer, fakeFetch, streamOf } from "./support/origin.ts";

function quietEdge(fleet = fleetOf()): Edge {
  captureLog();
  fakeFetch((sent) => {
    if (sent.method === "GET") return healthAnswer("north", { 9000: "ready" });
    const stream = new TextDecoder().decode(sent.bytes).includes('"stream":true');
    return stream
      ? agentAnswer("north", streamOf(["data: {}\n\n"]), { headers: { "content-type": "text/event-stream" } })
      : agentAnswer("north", "{}", { headers: { "cache-control": "no-cache, no-transform" } });
  });
  return edgeOf(fleet);
}

const EVERY_KIND: [name: string, path: string, init: TestRequest, status: number][] = [
  ["liveness", "/livez", {}, 200],
  ["health", "/healthz", {}, 200],
  ["health of an unknown agent type", "/healthz?require=Unknown", {}, 400],
  ["docs", "/docs", {}, 200],
  ["the redirect to the docs", "/", {}, 302],
  ["models", "/v1/models", {}, 200],
  ["a model", "/v1/models/Alpha", {}, 200],
  ["an unknown model", "/v1/models/Nothing", {}, 404],
  ["models without a key", "/v1/models", { key: null }, 401],
  ["models for the development admin key", "/v1/models", { key: "dev-admin" }, 200],
  ["a preflight", CHAT, { method: "OPTIONS", key: null, headers: { origin: "https://a.example" } }, 204],
  ["a call", CHAT, { body: chat() }, 200],
  ["a streamed call", CHAT, { body: chat({ stream: true }) }, 200],
  ["a call with invalid JSON", CHAT, { body: "x" }, 400],
  ["a call of another type", CHAT, { body: "x", headers: { "content-type": "text/plain" } }, 415],
  ["a call that is too large", CHAT, { body: "x".repeat(1024 * 1024 + 1) }, 413],
  ["the keys", "/admin/keys", { key: "dev-admin" }, 200],
  ["the keys without the admin scope", "/admin/keys", {}, 403],
  ["an unknown key", "/admin/keys/unknown", { key: "dev-admin" }, 404],
  ["the audit", "/admin/audit", { key: "dev-admin" }, 200],
  ["an unknown route", "/v1/nothing", {}, 404],
  ["a malformed path", "/%00/..%2f", {}, 404],
  ["a method that the route lacks", CHAT, { method: "GET" }, 405],
];

describe("every answer", () => {
  it.each(EVERY_KIND)("has the security headers: %s", async (_, path, init, status) => {
    const answer = await quietEdge()(path, init);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("strict-transport-security")).toMatch(/^max-age=\d{8}/);
    expect(answer.headers.get("content-security-policy")).toMatch(
      /^default-src 'none';.*frame-ancestors 'none'/,
    );
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    expect(answer.headers.get("cache-control")).not.toBeNull();
    expect(answer.headers.get("server")).toBeNull();
    await answer.text();
  });

  it.each(EVERY_KIND.filter(([, , , status]) => status >= 400))(
    "that is an error has the same format: %s",
    async (_, path, init) => {
      const answer = await quietEdge()(path, init);
      expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
      const body = await answer.json<Record<string, object>>();
      expect(Object.keys(body)).toEqual(["error"]);
      expect(Object.keys(body["error"] ?? {})).toEqual(["message", "type", "code", "param", "request_id"]);
    },
  );

  it("is not cached by default", async () => {
    const edge = quietEdge();
    expect((await edge("/v1/models")).headers.get("cache-control")).toBe("no-store");
    expect((await edge("/nowhere")).headers.get("cache-control")).toBe("no-store");
    expect((await edge(CHAT, { body: chat() })).headers.get("cache-control")).toBe("no-cache, no-transform");
    expect((await edge("/docs")).headers.get("cache-control")).toBe("no-cache");
  });
});

describe("a page of another site", () => {
  const from = (origin: string, more: TestRequest = {}): TestRequest => ({
    ...more,
    headers: { origin, ...more.headers },
  });
  const preflight = from("https://a.example", {
    method: "OPTIONS",
    key: null,
    headers: {
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-api-key",
    },
  });

  it("may call models by default, with a preflight without a key", async () => {
    const edge = quietEdge();
    const answer = await edge(CHAT, preflight);
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-methods")).toMatch(/POST/);
    for (const header of ["authorization", "content-type", "x-api-key"])
      expect(answer.headers.get("access-control-allow-headers")?.toLowerCase()).toContain(header);
    expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
    const called = await edge(CHAT, from("https://a.example", { body: chat() }));
    expect(called.headers.get("access-control-allow-origin")).toBe("*");
  });

  it.each<[string, TestRequest, number]>([
    ["no key", { key: null }, 401],
    ["no such model", {}, 404],
  ])("can read a refusal, and its request id: %s", async (_, init, status) => {
    const path = status === 404 ? "/v1/models/Nothing" : "/v1/models";
    const answer = await quietEdge()(path, from("https://a.example", init));
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const exposed = answer.headers.get("access-control-expose-headers")?.toLowerCase() ?? "";
    for (const header of ["x-request-id", "retry-after", "x-isha-fallback-from", "warning"])
      expect(exposed).toContain(header);
  });

  it("can read a rate-limit refusal", async () => {
    const fleet = fleetOf({ limits: { perAddressPerSecond: 1, perKeyPerSecond: 1000 } });
    const edge = quietEdge(fleet);
    const all = await Promise.all(
      [1, 2, 3, 4].map(async () => edge("/v1/models", from("https://a.example", { key: null }))),
    );
    const refused = all.find(({ status }) => status === 429);
    expect(refused?.headers.get("access-control-allow-origin")).toBe("*");
  });

  it("may call models only if the fleet file lists its origin, once it lists any", async () => {
    const edge = quietEdge(fleetOf({ cors: { v1: ["https://a.example", "https://b.example"] } }));
    for (const origin of ["https://a.example", "https://b.example"]) {
      const answer = await edge("/v1/models", from(origin));
      expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
      expect(answer.headers.get("vary")?.toLowerCase()).toContain("origin");
    }
    for (const origin of [
      "https://c.example",
      "https://a.example.evil.example",
      "null",
      "http://a.example",
    ]) {
      expect((await edge("/v1/models", from(origin))).headers.get("access-control-allow-origin")).toBeNull();
      const answer = await edge(CHAT, { ...preflight, headers: { ...preflight.headers, origin } });
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  it.each(["/livez", "/healthz", "/docs"])("may not read other routes: %s", async (path) => {
    const answer = await quietEdge()(path, from("https://a.example"));
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("HEAD", () => {
  it.each(["/livez", "/healthz", "/docs", "/v1/models", "/v1/models/Alpha", "/"])(
    "of %s is its GET without the body",
    async (path) => {
      const edge = quietEdge();
      const [get, head] = [await edge(path), await edge(path, { method: "HEAD" })];
      expect(head.status).toBe(get.status);
      expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
      expect(await head.text()).toBe("");
    },
  );

  it("of a route for calls is not allowed", async () => {
    expect((await quietEdge()(CHAT, { method: "HEAD" })).status).toBe(405);
  });
});

describe("an unknown route", () => {
  it.each(["/nowhere", "/v1", "/v1/", "/v1/chat", "/admin", "/admin/nothing", "/_agent", "/v2/models"])(
    "is a 404 that names the docs: %s",
    async (path) => {
      for (const method of ["GET", "POST", "DELETE"]) {
        const answer = await quietEdge()(path, { method });
        expect(answer.status).toBe(404);
        const error = await errorOf(answer);
        expect(error).toMatchObject({ code: "not_found", type: "not_found_error" });
        expect(error.message).toContain("/docs");
        expect(error.message).not.toContain(path);
      }
    },
  );

  it.each([
    ["/chat/completions", "/v1/chat/completions"],
    ["/v1/chat/completions/", "/v1/chat/completions"],
    ["/v1/v1/chat/completions", "/v1/chat/completions"],
    ["/V1/Chat/Completions", "/v1/chat/completions"],
    ["//v1//messages", "/v1/messages"],
    ["/api/v1/embeddings", "/v1/embeddings"],
    ["/v1/tokenize", "/tokenize"],
    ["/v1/healthz", "/healthz"],
    ["/livez/", "/livez"],
    ["/DOCS", "/docs"],
  ])("%s names the route that was meant: %s", async (path, meant) => {
    const answer = await quietEdge()(path, { method: "POST" });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain(`Did you mean ${meant}?`);
  });

  it("is a 404 without a key too", async () => {
    expect((await quietEdge()("/nowhere", { key: null })).status).toBe(404);
  });
});

describe("a method that a route lacks", () => {
  it.each([
    [CHAT, ["GET", "PUT", "PATCH", "DELETE"], "POST"],
    ["/v1/models", ["POST", "PUT", "DELETE"], "GET, HEAD"],
    ["/v1/models/Alpha", ["POST", "PATCH"], "GET, HEAD"],
    ["/healthz", ["POST", "DELETE"], "GET, HEAD"],
    ["/livez", ["POST"], "GET, HEAD"],
    ["/docs", ["POST"], "GET, HEAD"],
    ["/", ["POST"], "GET, HEAD"],
  ])("is a 405 at %s with the allowed methods, without a key", async (path, methods, allowed) => {
    for (const method of methods) {
      const answer = await quietEdge()(path, { method, key: null });
      expect(answer.status).toBe(405);
      expect(answer.headers.get("allow")).toContain(allowed);
      expect(answer.headers.get("allow")?.split(", ")).not.toContain(method);
      const error = await errorOf(answer);
      expect(error).toMatchObject({ code: "method_not_allowed" });
      expect(error.message).toContain(allowed);
    }
  });

  it.each([CHAT, "/v1/models", "/healthz", "/livez", "/docs", "/"])(
    "is not in the Allow header: %s",
    async (path) => {
      const edge = quietEdge();
      const refused = await edge(path, { method: "DELETE" });
      for (const method of refused.headers.get("allow")?.split(", ") ?? []) {
        const init = { method, ...(method === "POST" ? { body: chat() } : {}) };
        expect((await edge(path, init)).status, method).not.toBe(405);
      }
    },
  );
});
