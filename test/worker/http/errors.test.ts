import { describe, expect, it } from "vitest";
import { captureLog, CHAT, chat, edgeOf, errorOf } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { agentAnswer, connectionLost, fakeFetch, streamOf } from "../support/origin.ts";

const WORDS = "the patient's words";

/** A runtime that fails during a streamed call. */
const FAILING: ExecutionContext = {
  waitUntil() {
    throw new TypeError(WORDS);
  },
  passThroughOnException() {},
  props: {},
} as unknown as ExecutionContext;

describe("an internal exception", () => {
  it("is a 500 with a request id and without its text", async () => {
    const log = captureLog();
    fakeFetch(() =>
      agentAnswer("north", streamOf(["data: {}\n\n"]), { headers: { "content-type": "text/event-stream" } }),
    );
    const answer = await edgeOf(fleetOf(), { context: FAILING })(CHAT, { body: chat({ stream: true }) });
    expect(answer.status).toBe(500);
    const text = await answer.clone().text();
    expect(text).not.toContain(WORDS);
    expect(text).not.toContain("TypeError");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: "internal", type: "server_error", param: null });
    expect(error.request_id).toBe(answer.headers.get("x-request-id"));
    expect(log.length).toBe(1);
    expect(log[0]).not.toContain(WORDS);
  });

  it("has the headers of every answer, even if the environment is invalid", async () => {
    captureLog();
    const answer = await edgeOf(fleetOf(), { bindings: { BOX_SECRET: "short" } })("/livez");
    expect(answer.status).toBe(500);
    const error = await errorOf(answer);
    expect(error.message).not.toContain("BOX_SECRET");
    expect(error.request_id).toMatch(/^req_/);
    expect(answer.headers.get("x-request-id")).toBe(error.request_id);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(answer.headers.get("strict-transport-security")).not.toBeNull();
  });
});

describe("the log", () => {
  it("has one line for a refused request: ids, code and route, and no text of the client", async () => {
    const log = captureLog();
    const answer = await edgeOf(fleetOf())(`${CHAT}?name=${encodeURIComponent(WORDS)}`, {
      body: chat({ max_tokens: WORDS, user: WORDS }),
      headers: { "x-request-id": WORDS, "user-agent": WORDS, referer: `https://a.example/${WORDS}` },
    });
    expect(answer.status).toBe(400);
    expect(log.map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        event: "refused",
        request_id: answer.headers.get("x-request-id"),
        code: "invalid_request",
        route: CHAT,
        key: "dev-key",
        cause: null,
      },
    ]);
  });

  it("has the route's pattern, not the path", async () => {
    const log = captureLog();
    fakeFetch(connectionLost);
    expect((await edgeOf(fleetOf())(`/v1/models/${encodeURIComponent(WORDS)}`)).status).toBe(404);
    expect(log.length).toBe(1);
    expect(JSON.parse(log[0] ?? "")).toMatchObject({ route: "/v1/models/:id" });
    expect(decodeURIComponent(log[0] ?? "")).not.toContain("patient's");
  });

  it("has the box and the cause of a failed call, without an exception's text", async () => {
    const log = captureLog();
    fakeFetch(() => {
      throw new Error(WORDS);
    });
    expect((await edgeOf(fleetOf())(CHAT, { body: chat() })).status).toBe(502);
    expect(JSON.parse(log[0] ?? "")).toMatchObject({ code: "box_unreachable", key: "dev-key" });
    expect(log[0]).toContain("north");
    expect(log.join()).not.toContain(WORDS);
  });

  it("has no line for a successful request", async () => {
    const log = captureLog();
    fakeFetch(() => agentAnswer("north", "{}"));
    expect((await edgeOf(fleetOf())(CHAT, { body: chat() })).status).toBe(200);
    expect(log).toEqual([]);
  });
});
