// Plain http: nothing is served over it, and no key is read, except between programs of one machine.
import { describe, expect, it } from "vitest";
import { captureLog, CHAT, chat, edgeOf, errorOf } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { agentAnswer, fakeFetch } from "../support/origin.ts";

const PLAIN = { host: "edge.example", scheme: "http" } as const;

describe("a request over plain http", () => {
  it.each<[string, "GET" | "HEAD"]>([
    ["/docs?a=%20b", "GET"],
    ["/v1/models", "GET"],
    ["/healthz", "HEAD"],
    ["/console", "GET"],
    ["/nowhere", "GET"],
  ])("for %s by %s is redirected to the same URL over https", async (path, method) => {
    const answer = await edgeOf(fleetOf())(path, { ...PLAIN, method });
    expect([answer.status, answer.headers.get("location")]).toEqual([308, `https://edge.example${path}`]);
    expect(answer.headers.get("strict-transport-security")).not.toBeNull();
  });

  it.each<[string, string]>([
    [CHAT, "POST"],
    [CHAT, "OPTIONS"],
    ["/admin/keys", "POST"],
    ["/admin/keys/a", "DELETE"],
    ["/nowhere", "PUT"],
  ])(
    "to %s by %s is a 403 https_required, and neither its key nor its body is read",
    async (path, method) => {
      captureLog();
      const sent = fakeFetch(() => agentAnswer("north", "{}"));
      let pulls = 0;
      const stream = new ReadableStream({ pull: () => void (pulls += 1) }, { highWaterMark: 0 });
      let lookups = 0;
      const count = (): never => {
        lookups += 1;
        throw new Error("no object");
      };
      const edge = edgeOf(fleetOf(), {
        bindings: { API_KEY: { getByName: count }, CLIENT_ADDRESS: { getByName: count } } as never,
      });
      const body = method === "POST" || method === "PUT" ? { body: stream } : {};
      const answer = await edge(path, { ...PLAIN, method, ...body });
      expect(answer.status).toBe(403);
      expect(answer.headers.get("x-should-retry")).toBe("false");
      expect(await errorOf(answer)).toMatchObject({ code: "https_required", type: "permission_error" });
      expect([sent.length, pulls, lookups]).toEqual([0, 0, 0]);
    },
  );

  it.each(["edge.example:8787", "localhost.example", "127.0.0.1.example", "127.0.0.2", "10.0.0.1", "[::2]"])(
    "is refused on %s too",
    async (host) => {
      captureLog();
      expect((await edgeOf(fleetOf())(CHAT, { ...PLAIN, host, body: chat() })).status).toBe(403);
    },
  );

  it.each(["localhost", "localhost:8787", "127.0.0.1:8787", "[::1]:8787"])(
    "is served on %s, which leaves no machine",
    async (host) => {
      fakeFetch(() => agentAnswer("north", "{}"));
      expect((await edgeOf(fleetOf())(CHAT, { host, scheme: "http", body: chat() })).status).toBe(200);
    },
  );
});
