import { describe, expect, it } from "vitest";
import { DIALECT_NAMES, DIALECTS, type Dialect } from "../../../shared/dialects.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, type TestRequest } from "../support/edge.ts";
import { fleetOf, twoBoxes } from "../support/fleets.ts";
import {
  agentAnswer,
  boxOf,
  connectionLost,
  fakeFetch,
  noTunnel,
  streamOf,
  callIn,
} from "../support/origin.ts";
import { reportingFleet, reportOf } from "../support/reports.ts";
import { untilHolds } from "../support/until.ts";
import { noJitter } from "../../support/no-jitter.ts";

describe("a call", () => {
  it("is forwarded unchanged, and so is its answer", async () => {
    const sent = fakeFetch(() =>
      agentAnswer("north", '{"text":"…"}', { headers: { "x-isha-port": "9001" } }),
    );
    const body =
      '{ "agent_type":"alpha",\n "messages":[{"role":"user","content":"漢\\u00e9"}] , "unknown":[1.50] }';
    const answer = await edgeOf(fleetOf())(CHAT, { body });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('{"text":"…"}');
    expect(answer.headers.get("x-isha-port")).toBe("9001");
    expect(new TextDecoder().decode(sent[0]?.bytes)).toBe(body);
  });

  it("is forwarded without the client's headers", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const headers = {
      "x-conversation-id": "Jane",
      "x-isha-token": "Jane",
      "x-isha-call": '{"v":2,"keyId":"Jane"}',
      "x-isha-scope": "Jane",
      "x-isha-jane": "Jane",
      cookie: "session=Jane",
      "user-agent": "Jane",
      referer: "https://jane.example/",
      "x-forwarded-for": "192.0.2.1",
      "x-request-id": "Jane",
      "cf-access-client-id": "Jane",
      accept: "text/jane",
      "content-type": "application/json; charset=jane",
    };
    await edgeOf(fleetOf())(`${CHAT}?jane=1`, {
      body: chat({ agent_type: "Alpha" }),
      headers,
      address: "198.18.7.7",
    });
    const out = sent[0];
    expect(JSON.stringify([...(out?.headers ?? [])])).not.toMatch(/jane|bearer|192\.0\.2\.1|198\.18/i);
    expect([...(out?.headers.keys() ?? [])].filter((name) => !name.startsWith("x-isha-"))).toEqual([
      "accept",
      "cf-access-client-id",
      "cf-access-client-secret",
      "content-type",
    ]);
    expect(callIn(out).ports).toEqual([9001]);
    expect(out?.url.search).toBe("");
  });

  it("streams, byte for byte", async () => {
    const text = 'data: {"a":1}\n\n: waiting\n\ndata: [DONE]\n\n';
    fakeFetch(() => agentAnswer("north", streamOf([text.slice(0, 9), text.slice(9)]), { headers: EVENTS }));
    const edge = edgeOf(fleetOf());
    const answer = await edge(CHAT, { body: chat({ stream: true }) });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    expect(await answer.text()).toBe(text);
    await edge.settled();
  });

  it("that breaks while it streams ends with an error event and a log line", async () => {
    const log = captureLog();
    fakeFetch(() => agentAnswer("north", streamOf(['data: {"tex'], "breaks"), { headers: EVENTS }));
    const edge = edgeOf(fleetOf());
    const answer = await edge(CHAT, { body: chat({ stream: true }) });
    const text = await answer.text();
    await edge.settled();
    const requestId = answer.headers.get("x-request-id");
    expect(text).toContain(`"request_id":"${requestId}"`);
    expect(text).not.toContain("[DONE]");
    expect(log.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { code: "box_unreachable", request_id: requestId, route: CHAT, key: "dev-key" },
    ]);
  });

  it("whose client disconnects before the answer is aborted at the box", async () => {
    captureLog();
    const client = new AbortController();
    const sent = fakeFetch(
      async ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new DOMException("left", "AbortError")));
        }),
    );
    const answering = edgeOf(fleetOf())(CHAT, { body: chat(), signal: client.signal }).catch(() => null);
    await untilHolds(() => expect(sent.length).toBe(1));
    client.abort();
    await untilHolds(() => expect(sent[0]?.signal.aborted).toBe(true));
    await answering;
  });
});

const EVENTS = { "content-type": "text/event-stream" };

describe("a refusal of the agent", () => {
  it("is the client's answer, and its code is logged", async () => {
    const log = captureLog();
    const body = '{"error":{"message":"m","type":"t","code":"model_loading","param":null,"request_id":"r"}}';
    fakeFetch(() =>
      agentAnswer("north", body, {
        status: 503,
        headers: { "x-isha-code": "model_loading", "retry-after": "4" },
      }),
    );
    const answer = await edgeOf(fleetOf())(CHAT, { body: chat() });
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("4");
    expect(await answer.text()).toBe(body);
    expect(log.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { code: "model_loading", key: "dev-key" },
    ]);
  });
});

describe("an invalid call is refused", () => {
  it.each<[string, TestRequest, number, string, string | null]>([
    ["no JSON", { body: "{" }, 400, "invalid_json", null],
    ["an array", { body: "[]" }, 400, "invalid_json", null],
    ["nothing", { body: "" }, 400, "invalid_json", null],
    ["an empty object", { body: "{}" }, 400, "invalid_request", "messages"],
    [
      "another type",
      { body: "{}", headers: { "content-type": "text/plain" } },
      415,
      "unsupported_media_type",
      null,
    ],
    [
      "compressed",
      { body: "{}", headers: { "content-encoding": "gzip" } },
      415,
      "unsupported_media_type",
      null,
    ],
    ["too large", { body: `{"a":"${"x".repeat(1024 * 1024)}"}` }, 413, "body_too_large", null],
    ["a field of another type", { body: chat({ stream: "yes" }) }, 400, "invalid_request", "stream"],
    ["a refused field", { body: chat({ lora: [] }) }, 400, "invalid_request", "lora"],
    ["an unknown port", { body: chat({ model_port: 9999 }) }, 400, "unknown_port", "model_port"],
    ["an unknown model", { body: chat({ model: "gpt-4o" }) }, 404, "model_not_found", "model"],
    ["more choices than slots", { body: chat({ n: 5 }) }, 400, "invalid_request", "n"],
    [
      "an image for a model without vision",
      {
        body: {
          messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }],
        },
      },
      400,
      "not_supported_by_model",
      "messages[0].content[0]",
    ],
  ])("%s", async (_, init, status, code, param) => {
    captureLog();
    const sent = fakeFetch(connectionLost);
    const answer = await edgeOf(fleetOf())(CHAT, { method: "POST", ...init });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    expect(await errorOf(answer)).toMatchObject({ code, param });
    expect(sent).toEqual([]);
  });

  it("without a part of it in the answer or the log", async () => {
    const log = captureLog();
    fakeFetch(connectionLost);
    const edge = edgeOf(fleetOf());
    const words = "JaneDoe";
    const bodies: (string | object)[] = [
      `{"messages": "${words}`,
      `"${words}"`,
      chat({ temperature: words }),
      chat({ model: words }),
      chat({ format: words }),
      chat({ messages: [{ role: words, content: words }] }),
      chat({ messages: [{ role: "user", content: [{ type: words }] }] }),
      chat({
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: `http://${words}` } }] }],
      }),
      chat({ stop: Array.from({ length: 17 }, () => words) }),
      chat({ tools: [words] }),
      `{"messages":[{"role":"user","content":"${words}\\ud800"}]}`,
    ];
    for (const body of bodies) {
      const answer = await edge(CHAT, { body });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(await answer.text()).not.toContain(words);
      expect(JSON.stringify([...answer.headers])).not.toContain(words);
    }
    expect(log.length).toBe(bodies.length);
    expect(log.join("\n")).not.toContain(words);
  });
});

describe("with several boxes", () => {
  it("the next one serves if the first has no tunnel", async () => {
    captureLog();
    const sent = fakeFetch((one) => (boxOf(one) === "north" ? noTunnel() : agentAnswer("south", "{}")));
    const answer = await edgeOf(twoBoxes())(CHAT, { body: chat({ agent_type: "Alpha" }) });
    expect(answer.status).toBe(200);
    expect(sent.map(boxOf)).toEqual(["north", "south"]);
  });

  it("a box that broke a connection comes last until the next snapshot", async () => {
    captureLog();
    const sent = fakeFetch((one) => (boxOf(one) === "north" ? connectionLost() : agentAnswer("south", "{}")));
    const reports = ["north", "south"].map((box) => reportOf(box, { 9000: "ready", 9001: "ready" }));
    const edge = edgeOf(twoBoxes(), { bindings: { FLEET: reportingFleet(reports) } });
    const statuses: number[] = [];
    for (let call = 0; call < 20; call += 1)
      statuses.push((await edge(CHAT, { body: chat({ agent_type: "Alpha" }) })).status);
    expect(statuses.filter((status) => status === 502).length).toBeLessThanOrEqual(1);
    expect(sent.map(boxOf).filter((box) => box === "north").length).toBeLessThanOrEqual(1);
  });

  it("the refusal has a retry time if none can be reached", async () => {
    noJitter();
    const log = captureLog();
    fakeFetch(noTunnel);
    const answer = await edgeOf(twoBoxes())(CHAT, { body: chat({ agent_type: "Alpha" }) });
    expect(answer.status).toBe(502);
    expect(answer.headers.get("retry-after")).toBe("5");
    expect(await errorOf(answer)).toMatchObject({ code: "box_unreachable" });
    expect(log[0]).toMatch(/north.*south/);
  });

  it("a timeout is a 504, and no second box is called", async () => {
    captureLog();
    const sent = fakeFetch(() => new Response("<html>524</html>", { status: 524 }));
    const answer = await edgeOf(twoBoxes())(CHAT, { body: chat({ agent_type: "Alpha" }) });
    expect(answer.status).toBe(504);
    expect(await errorOf(answer)).toMatchObject({ code: "upstream_timeout", type: "timeout_error" });
    expect(sent.length).toBe(1);
  });
});

describe("what an answer notes without refusing", () => {
  it("an agent type that no server lists: the default server answers, and a header reports it", async () => {
    fakeFetch(() => agentAnswer("north", "{}"));
    const edge = edgeOf(fleetOf());
    for (const agent of ["Cardiology", ""]) {
      const answer = await edge(CHAT, { body: chat({ agent_type: agent }) });
      expect(answer.headers.get("warning")).toBe('299 - "unknown agent_type: Default answered"');
    }
    for (const agent of ["Alpha", "alpha", "Default", null]) {
      const answer = await edge(CHAT, { body: chat({ agent_type: agent }) });
      expect(answer.headers.get("warning")).toBeNull();
    }
  });

  it("a cap below the requested tokens", async () => {
    fakeFetch(() => agentAnswer("north", "{}"));
    const edge = edgeOf(fleetOf());
    const capped = await edge(CHAT, { body: chat({ max_tokens: 1_000_000 }) });
    expect(Number(capped.headers.get("x-isha-max-tokens"))).toBeGreaterThan(0);
    expect((await edge(CHAT, { body: chat({ max_tokens: 5 }) })).headers.get("x-isha-max-tokens")).toBeNull();
  });
});

describe("a fleet that refuses unknown agent types", () => {
  it("lists those that it has, and accepts Default", async () => {
    captureLog();
    fakeFetch(() => agentAnswer("north", "{}"));
    const edge = edgeOf({ ...fleetOf(), unknownAgent: "refuse" });
    const refused = await edge(CHAT, { body: chat({ agent_type: "Cardiology" }) });
    expect(refused.status).toBe(400);
    const error = await errorOf(refused);
    expect(error).toMatchObject({ code: "invalid_request", param: "agent_type" });
    expect(error.message).toContain("Alpha");
    expect(error.message).not.toContain("Cardiology");
    expect((await edge(CHAT, { body: chat({ agent_type: "Default" }) })).status).toBe(200);
  });
});

describe("a call of another dialect", () => {
  const MESSAGES = "/v1/messages";
  const hello = JSON.stringify({ max_tokens: 10, messages: [{ role: "user", content: "hello" }] });

  it.each(DIALECT_NAMES)("%s is forwarded to its own path with its own caps", async (dialect) => {
    const bodies: Partial<Record<Dialect, object>> = {
      completions: { prompt: "a", max_tokens: 7 },
      responses: { input: "a", max_output_tokens: 7 },
      embeddings: { input: "a" },
      rerank: { query: "a", documents: ["b"] },
      tokenize: { content: "a" },
      detokenize: { tokens: [1] },
    };
    const body = bodies[dialect] ?? { messages: [{ role: "user", content: "a" }], max_tokens: 7 };
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const fleet = fleetOf();
    const able = {
      ...fleet,
      boxes: fleet.boxes.map((box) => ({
        ...box,
        servers: box.servers.map((server) => ({
          ...server,
          capabilities: ["chat", "embeddings", "rerank"] as const satisfies readonly string[],
        })),
      })),
    };
    const path = DIALECTS[dialect].path;
    const answer = await edgeOf(able as unknown as typeof fleet)(path, {
      method: "POST",
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    expect(sent[0]?.url.pathname).toBe(path);
    const isCapped = ["chat", "completions", "responses"].includes(dialect);
    expect(callIn(sent[0])).toMatchObject({ dialect, set: isCapped ? { n_predict: 7 } : {} });
  });

  it("is refused in its own format", async () => {
    captureLog();
    const edge = edgeOf(fleetOf());
    for (const [request, status, type] of [
      [{ body: "{" }, 400, "invalid_request_error"],
      [{ body: hello, key: null }, 401, "authentication_error"],
      [{ body: hello, headers: { "content-type": "text/plain" } }, 415, "invalid_request_error"],
      [{ method: "GET" }, 405, "invalid_request_error"],
      [{ body: `{"a":"${"x".repeat(1024 * 1024)}"}` }, 413, "request_too_large"],
    ] as const) {
      const answer = await edge(MESSAGES, { method: "POST", ...request });
      expect(answer.status).toBe(status);
      expect(await answer.json()).toMatchObject({
        type: "error",
        error: { type },
        request_id: answer.headers.get("x-request-id"),
      });
    }
  });

  it("of Anthropic's takes no version header, or a date", async () => {
    captureLog();
    fakeFetch(() => agentAnswer("north", "{}"));
    const edge = edgeOf(fleetOf());
    const statusWith = async (version: string | null): Promise<number> => {
      const headers: Record<string, string> = version === null ? {} : { "anthropic-version": version };
      return (await edge(MESSAGES, { method: "POST", body: hello, headers })).status;
    };
    expect(await statusWith(null)).toBe(200);
    expect(await statusWith("2023-06-01")).toBe(200);
    expect(await statusWith("latest")).toBe(400);
  });

  it("of Anthropic's is refused above the cap, which the body itself carries", async () => {
    captureLog();
    const answer = await edgeOf(fleetOf())(MESSAGES, {
      method: "POST",
      body: hello.replace("10", "1000000"),
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain("max_tokens: must be at most");
  });

  it("that no server can serve is refused with what would enable it", async () => {
    captureLog();
    const answer = await edgeOf(fleetOf())("/v1/embeddings", { method: "POST", body: '{"input":"a"}' });
    expect(answer.status).toBe(400);
    const error = await errorOf(answer);
    expect(error.code).toBe("not_supported_by_model");
    expect(error.message).toContain("capabilities include embeddings");
  });
});
