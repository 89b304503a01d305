import { describe, expect, it } from "vitest";
import { captureLog, CHAT, chat, edgeOf, errorOf, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { agentAnswer, healthAnswer, fakeFetch } from "../support/origin.ts";

describe("the request id", () => {
  it("is in every answer and every error, and unique", async () => {
    captureLog();
    fakeFetch((sent) =>
      sent.method === "GET" ? healthAnswer("north", { 9000: "ready" }) : agentAnswer("north", "{}"),
    );
    const edge = edgeOf(fleetOf());
    const requests: [string, TestRequest][] = [
      ["/livez", {}],
      ["/healthz", {}],
      ["/docs", {}],
      ["/", {}],
      ["/v1/models", {}],
      ["/v1/models", { method: "OPTIONS", headers: { origin: "https://a.example" } }],
      ["/v1/models/Nothing", {}],
      ["/nowhere", {}],
      ["/livez", { method: "DELETE" }],
      ["/livez", { method: "HEAD" }],
      [CHAT, { body: chat() }],
      [CHAT, { body: "no JSON" }],
      [CHAT, { body: chat(), key: null }],
    ];
    const answers = await Promise.all(requests.map(async ([path, init]) => edge(path, init)));
    const ids = answers.map(({ headers }) => headers.get("x-request-id") ?? "");
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [at, answer] of answers.entries())
      if (answer.status >= 400) expect((await errorOf(answer)).request_id).toBe(ids[at]);
  });

  it("is sent to the agent", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const answer = await edgeOf(fleetOf())(CHAT, {
      body: chat(),
      headers: { "x-isha-request-id": "forged" },
    });
    expect(sent[0]?.headers.get("x-isha-request-id")).toBe(answer.headers.get("x-request-id"));
  });
});

describe("the client's own id", () => {
  it.each(["abc-123", "a".repeat(128), 'with blanks and "quotes"', "~"])("is returned: %.30s", async (id) => {
    const answer = await edgeOf(fleetOf())("/livez", { headers: { "x-request-id": id } });
    expect(answer.headers.get("x-client-request-id")).toBe(id);
    expect(answer.headers.get("x-request-id")).not.toBe(id);
  });

  it.each(["a".repeat(129), "caf\u00e9", "a\tb"])(
    "is not returned if it is long or not printable ASCII: %.30s",
    async (id) => {
      const answer = await edgeOf(fleetOf())("/livez", { headers: { "x-request-id": id } });
      expect(answer.status).toBe(200);
      expect(answer.headers.has("x-client-request-id")).toBe(false);
    },
  );

  it("is absent if the client sent none", async () => {
    expect((await edgeOf(fleetOf())("/livez")).headers.has("x-client-request-id")).toBe(false);
  });

  it("is returned with a refusal too, and is not logged", async () => {
    const log = captureLog();
    const answer = await edgeOf(fleetOf())("/nowhere", { headers: { "x-request-id": "Jane Doe" } });
    expect(answer.headers.get("x-client-request-id")).toBe("Jane Doe");
    expect(await answer.text()).not.toContain("Jane");
    expect(log.join()).not.toContain("Jane");
  });
});
