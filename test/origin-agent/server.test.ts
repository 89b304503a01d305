// Checks who may call the agent, which requests it accepts, and what it logs.
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DRAIN_MS } from "../../origin-agent/server.ts";
import { TOKEN_HEADER } from "../../shared/call-headers.ts";
import { BoxHealth } from "../../shared/health.ts";
import { MAX_BODY_BYTES } from "../../shared/limits.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask, errorOf, headersOf, jsonOf, TOKEN, type Answer, type Json } from "./support/ask.ts";
import { callsOf, reset, startAgent, startSimulator, WANTED, type TestAgent } from "./support/box.ts";
import { until } from "../support/until.ts";
import { noJitter } from "../support/no-jitter.ts";

let simulator: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  simulator = await startSimulator(WANTED);
  agent = await startAgent({ [WANTED]: simulator.port });
});
beforeEach(async () => {
  await reset(simulator);
  await agent.settled(WANTED);
});
afterAll(async () => {
  await agent.close();
  await simulator.stop();
});

const receivedCount = async (): Promise<number> => (await callsOf(simulator)).length;

/** Sends raw bytes and reads until the agent closes the connection. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(text);
  let answer = "";
  for await (const chunk of socket) answer += (chunk as Buffer).toString("latin1");
  return answer;
}

describe("without the edge's token", () => {
  it.each([
    ["none", undefined],
    ["an empty one", ""],
    ["another one of its length", TOKEN.replace(/./g, "0")],
    ["a part of it", TOKEN.slice(0, -1)],
    ["more than it", `${TOKEN}0`],
  ])("a call gets a 403 and reaches no server: %s", async (_what, token) => {
    const answer = await answered(agent.port, { headers: { [TOKEN_HEADER]: token } });
    expect(answer.status).toBe(403);
    expect(errorOf(answer)).toMatchObject({ code: "scope_missing", param: null });
    expect(answer.headers).toMatchObject({
      "x-isha-agent": "north",
      "x-isha-started": "0",
      "x-should-retry": "false",
    });
    expect(await receivedCount()).toBe(0);
  });

  it("nothing else is revealed: wrong call headers or another method get the same 403", async () => {
    for (const question of [{ headers: { "x-isha-call": "9" } }, { method: "GET" }]) {
      const answer = await answered(agent.port, {
        ...question,
        headers: { ...("headers" in question ? question.headers : {}), [TOKEN_HEADER]: "wrong" },
      });
      expect(answer.status).toBe(403);
    }
    expect(await receivedCount()).toBe(0);
  });
});

describe("the routes", () => {
  const get = (path: string, method = "GET"): Promise<Answer> =>
    answered(agent.port, { path, method, body: "", headers: { [TOKEN_HEADER]: undefined } });

  it("GET /healthz reports to any client which servers are up", async () => {
    const answer = await get("/healthz");
    expect(answer.status).toBe(200);
    expect(BoxHealth.parse(jsonOf(answer))).toEqual({
      box: "north",
      version: "1.2.3",
      servers: [
        { port: 9101, model: "Heron-3B", state: "ready" },
        { port: 9102, model: "Heron-3B", state: "down" },
        { port: 9103, model: "Wren-1B", state: "down" },
      ],
    });
    expect(answer.headers).toMatchObject({
      "content-type": "application/json; charset=utf-8",
      "cache-control": "no-store",
      "x-isha-agent": "north",
    });
  });

  it.each(["/metrics", "/fleet"])("GET %s is for the edge and for programs on this machine", async (path) => {
    const statusWith = async (headers: Record<string, string | undefined>): Promise<number> =>
      (await answered(agent.port, { path, method: "GET", body: "", headers })).status;
    const none = { [TOKEN_HEADER]: undefined };
    expect(await statusWith(none)).toBe(200);
    // cloudflared connects from loopback; these are the headers that it adds.
    const tunnelled = { "cf-connecting-ip": "192.0.2.7", "cf-ray": "1-FRA", "x-forwarded-for": "192.0.2.7" };
    for (const [name, value] of Object.entries(tunnelled))
      expect([name, await statusWith({ ...none, [name]: value })]).toEqual([name, 403]);
    expect(await statusWith({ ...tunnelled, [TOKEN_HEADER]: "wrong" })).toBe(403);
    expect(await statusWith({ ...tunnelled, [TOKEN_HEADER]: TOKEN })).toBe(200);
  });

  it.each([
    "/",
    "/v1/models",
    "/slots",
    "/v1/stream?conv_id=a",
    "/v1/chat/completions?a=b",
    "/v1/completions/",
    "/completions",
    "//",
  ])("%s gets a 404 from the agent and reaches no llama-server", async (path) => {
    const answer = await get(path);
    expect(answer.status).toBe(404);
    expect(errorOf(answer).code).toBe("not_found");
    expect(await receivedCount()).toBe(0);
  });

  it("a call on the path of another dialect, or with a format or stream that its dialect lacks, reaches no llama-server", async () => {
    const wrong = [
      { path: "/v1/messages", call: {} },
      { path: "/v1/chat/completions", call: { dialect: "completions" } },
      { path: "/v1/messages", call: { dialect: "messages", format: "mediczy" } },
      { path: "/v1/embeddings", call: { dialect: "embeddings", stream: true } },
    ] as const;
    for (const question of wrong) {
      const { status, headers } = await answered(agent.port, question);
      expect([status, headers["x-isha-code"], headers["x-isha-started"]]).toEqual([500, "internal", "0"]);
    }
    const { requestsByRoute } = await simulator.state();
    for (const { path } of wrong) expect(requestsByRoute[path] ?? 0).toBe(0);
  });

  it.each(["GET", "PUT", "DELETE"])("%s on the path for calls gets a 404", async (method) => {
    const answer = await answered(agent.port, { method, body: "" });
    expect(errorOf(answer).code).toBe("not_found");
    expect(await receivedCount()).toBe(0);
  });

  it("Node refuses a request that isn't HTTP or has too long headers; other calls are not affected", async () => {
    expect(await raw(agent.port, "hello\r\n\r\n")).toContain(" 400 ");
    expect(await raw(agent.port, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(20_000)}\r\n\r\n`)).toContain(
      " 431 ",
    );
    expect((await answered(agent.port)).status).toBe(200);
  });
});

describe("call headers", () => {
  it.each([
    ["another version", { "x-isha-call": '{"v":4}' }, "x-isha-call.v"],
    ["none", { "x-isha-call": undefined }, "x-isha-call"],
    [
      "no ports",
      { "x-isha-call": '{"v":2,"dialect":"chat","format":"openai","wantedPort":1}' },
      "x-isha-call.ports",
    ],
    ["no JSON", { "x-isha-call": "{" }, "x-isha-call"],
  ])(
    "that are invalid (%s) get a 500; the log names the header, and the call reaches no server",
    async (_what, headers, name) => {
      const before = agent.log.length;
      const answer = await answered(agent.port, { headers });
      expect(answer.status).toBe(500);
      expect(errorOf(answer)).toMatchObject({ code: "internal", request_id: "req-1" });
      expect(answer.headers["x-isha-started"]).toBe("0");
      expect(answer.text).not.toContain(name);
      expect(agent.log.slice(before).join("")).toContain(name);
      expect(await receivedCount()).toBe(0);
    },
  );
});

describe("a body", () => {
  const padded = (length: number): string => {
    const around = '{"messages":[],"note":""}';
    return `${around.slice(0, -2)}${"x".repeat(length - around.length)}"}`;
  };

  it("of the maximum length reaches the server complete", async () => {
    expect((await answered(agent.port, { body: padded(MAX_BODY_BYTES) })).status).toBe(200);
    const [received] = await callsOf(simulator);
    expect(received?.body.startsWith(padded(MAX_BODY_BYTES).slice(0, -1))).toBe(true);
  });

  it.each([
    ["with a content-length", {}],
    ["in chunks", { "content-length": undefined, "transfer-encoding": "chunked" }],
  ])("that is one byte longer gets a 413 (%s)", async (_what, headers) => {
    const answer = await answered(agent.port, { body: padded(MAX_BODY_BYTES + 1), headers });
    expect(answer.status).toBe(413);
    expect(errorOf(answer).code).toBe("body_too_large");
    expect(answer.headers["x-isha-started"]).toBe("0");
    expect(await receivedCount()).toBe(0);
    expect(agent.bodies.bytes).toBe(0);
  });

  it("without memory left for it gets a 503 with Retry-After", async () => {
    const small = await startAgent({ [WANTED]: simulator.port }, { maxRetainedBytes: 1000 });
    await small.settled();
    noJitter();
    const answer = await answered(small.port, { body: padded(2000) });
    expect(answer.status).toBe(503);
    expect(errorOf(answer).code).toBe("overloaded");
    expect(answer.headers).toMatchObject({ "retry-after": "1", "x-isha-started": "0" });
    expect((await answered(small.port)).status).toBe(200);
    await small.close();
  });

  it.each([MAX_BODY_BYTES + 1, 20 * MAX_BODY_BYTES])(
    "that was refused for its %i bytes leaves its connection usable for the next call",
    async (length) => {
      const one = new Agent({ keepAlive: true, maxSockets: 1 });
      expect((await answered(agent.port, { body: padded(length), agent: one })).status).toBeGreaterThan(400);
      const next = ask(agent.port, { agent: one });
      await next.arrived('"choices"');
      expect((await next.answer).status).toBe(200);
      one.destroy();
    },
  );

  it("that never arrives ends at the deadline, which runs from the arrival of the headers", async () => {
    const upload = request({
      host: "127.0.0.1",
      port: agent.port,
      method: "POST",
      path: "/v1/chat/completions",
      headers: { ...headersOf({ call: { deadlineMs: 150 } }), "content-length": "1000" },
      agent: false,
    });
    let status: number | undefined;
    upload.once("response", (response) => void (status = response.statusCode));
    upload.once("error", () => undefined);
    upload.write('{"messages":');
    await until(() => status !== undefined).finally(() => upload.destroy());
    expect(status).toBe(504);
  });

  it("in chunks is accepted like one with a content-length", async () => {
    const headers = { "content-length": undefined, "transfer-encoding": "chunked" };
    expect((await answered(agent.port, { headers })).status).toBe(200);
    const [received] = await callsOf(simulator);
    expect(received?.headers).not.toHaveProperty("transfer-encoding");
  });

  it("that breaks off reaches no server, and its memory is freed", async () => {
    const upload = request({
      host: "127.0.0.1",
      port: agent.port,
      method: "POST",
      path: "/v1/chat/completions",
      headers: { ...headersOf({}), "content-length": "1000" },
      agent: false,
    });
    upload.once("error", () => undefined);
    upload.write('{"messages":');
    await until(() => agent.bodies.bytes > 0);
    upload.destroy();
    await until(() => agent.bodies.bytes === 0);
    expect((await answered(agent.port)).status).toBe(200);
    expect(await receivedCount()).toBe(1);
  });

  it("is freed when its call has ended, whatever the outcome", async () => {
    await answered(agent.port);
    await answered(agent.port, { body: "[]" });
    await simulator.set({ fault: "echo500" });
    await answered(agent.port, { call: { stream: true } });
    await until(() => agent.bodies.bytes === 0);
  });
});

describe("calls on one connection", () => {
  it("are answered one after another, whatever happened to earlier ones", async () => {
    const one = new Agent({ keepAlive: true, maxSockets: 1 });
    const statuses: number[] = [];
    for (const question of [
      {},
      { call: { stream: true } },
      { body: "[]" },
      { headers: { "x-isha-call": "2" } },
      {},
    ]) {
      statuses.push((await answered(agent.port, { ...question, agent: one })).status);
    }
    one.destroy();
    expect(statuses).toEqual([200, 200, 400, 500, 200]);
  });

  it("stay open for longer than cloudflared keeps an idle connection", async () => {
    const one = new Agent({ keepAlive: true, maxSockets: 1 });
    const { headers } = await answered(agent.port, { agent: one });
    one.destroy();
    const [, seconds] = /timeout=(\d+)/.exec(String(headers["keep-alive"])) ?? [];
    expect(Number(seconds)).toBeGreaterThan(90);
  });
});

describe("the log", () => {
  it("has one line per call: key, server, outcome and duration", async () => {
    const before = agent.calls().length;
    await answered(agent.port, { call: { requestId: "req-7", stream: true } });
    await until(() => agent.calls().length === before + 1);
    expect(agent.calls()[before]).toMatchObject({
      event: "call",
      request_id: "req-7",
      key: "key-1",
      agent_type: "Radiology",
      wanted_port: WANTED,
      port: WANTED,
      stream: true,
      outcome: "complete",
      queue_ms: expect.any(Number) as number,
      ms: expect.any(Number) as number,
    });
  });

  it("contains a refusal's code and its internal cause", async () => {
    const before = agent.calls().length;
    await answered(agent.port, { body: { n: 9 } });
    await until(() => agent.calls().length === before + 1);
    expect(agent.calls()[before]).toMatchObject({
      outcome: "refused",
      code: "invalid_request",
      cause: `port ${WANTED} answered 400 invalid_request_error`,
    });
  });

  it("never contains a prompt or an answer, on any path", async () => {
    const before = agent.calls().length;
    const prompt = { messages: [{ role: "user", content: "Marker-Of-The-Prompt" }] };
    const streamed: Json[] = [
      {},
      { fault: "errorEvent200" },
      { fault: "garbage" },
      { fault: "echo500" },
      { cutAfterTokens: 2 },
    ];
    for (const switches of streamed) {
      await reset(simulator);
      await simulator.set(switches);
      for (const format of ["openai", "mediczy"] as const) {
        await answered(agent.port, { call: { stream: true, format }, body: prompt });
        await answered(agent.port, { call: { format }, body: prompt });
      }
    }
    await reset(simulator);
    await answered(agent.port, { body: { ...prompt, response_format: { type: "Marker-Of-The-Prompt" } } });
    await answered(agent.port, { body: '{"Marker-Of-The-Prompt' });
    await answered(agent.port, {
      body: prompt,
      headers: { "x-isha-call": '{"v":2,"dialect":"Marker-Of-The-Prompt"}' },
    });
    await answered(agent.port, { path: "/Marker-Of-The-Prompt", body: prompt });
    await simulator.set({ stall: true });
    const left = ask(agent.port, { body: prompt });
    await simulator.until((state) => state.generating === 1);
    left.leave();
    await until(() => agent.calls().length === before + 2 * 2 * streamed.length + 3);

    const written = agent.log.join("");
    expect(written).toContain('"event":"call"');
    // A field of a body or of an answer, however often its quotes are escaped; `messages` alone names a dialect.
    expect(written).not.toMatch(/marker|simulated|asked about|Compute error|(?:choices|messages)\\*":/i);
  });
});

describe("a draining agent", () => {
  it("still accepts calls on existing connections and closes each; near the end it sends 503 draining", async () => {
    const going = await startAgent({ [WANTED]: simulator.port });
    await going.settled();
    going.drain();
    const taken = await answered(going.port);
    expect(taken.status).toBe(200);
    expect(taken.headers.connection).toBe("close");
    going.later(DRAIN_MS);
    noJitter();
    const refused = await answered(going.port);
    expect(refused.status).toBe(503);
    expect(errorOf(refused).code).toBe("draining");
    expect(refused.headers).toMatchObject({ connection: "close", "x-isha-started": "0", "retry-after": "2" });
    await going.close();
  });
});
