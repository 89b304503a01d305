import { describe, expect, it } from "vitest";
import { ANSWER_HEADERS, callDecoder } from "../../../shared/call-headers.ts";
import { CALL_DEADLINE_MS } from "../../../shared/limits.ts";
import { forward, type Forwarded, type Forwarding } from "../../../worker/inference/forward.ts";
import type { Refusal, Result } from "../../../shared/errors.ts";
import { callOf } from "../support/calls.ts";
import { forwardingOf, PRINCIPAL, SETTINGS } from "../support/forwarding.ts";
import {
  agentAnswer,
  boxOf,
  connectionLost,
  fakeFetch,
  noTunnel,
  type Sent,
  callIn,
} from "../support/origin.ts";
import { seeded } from "../support/random.ts";

const send = async (more: Partial<Forwarding> = {}): Promise<Result<Forwarded>> =>
  forward(forwardingOf(more).forwarding);

function answerOf(result: Result<Forwarded>): Forwarded {
  if (!result.ok) throw new Error(result.refusal.code);
  return result.value;
}

function refusalOf(result: Result<Forwarded>): Refusal {
  if (result.ok) throw new Error("it was not refused");
  return result.refusal;
}

describe("the request to the agent", () => {
  it("has the call's headers, the token and the content type only", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    await send();
    expect(sent[0]?.url.href).toBe("https://north.example/v1/chat/completions");
    expect(sent[0]?.method).toBe("POST");
    const headers = Object.fromEntries(sent[0]?.headers ?? []);
    expect(Object.keys(headers).filter((name) => !name.startsWith("x-isha-"))).toEqual([
      "accept",
      "content-type",
    ]);
    expect(headers["content-type"]).toBe("application/json");
    expect(callDecoder(1)(headers)).toEqual({
      ok: true,
      call: {
        requestId: "req_1",
        dialect: "chat",
        format: "mediczy",
        wantedPort: 9001,
        ports: [9001],
        fallbackPorts: [],
        stream: false,
        choices: 1,
        continuable: true,
        keyId: "Ab3dEf6h",
        scope: null,
        agentType: "Alpha",
        priority: "normal",
        concurrent: null,
        deadlineMs: CALL_DEADLINE_MS,
        set: { n_predict: 500 },
      },
    });
  });

  it("has the body, byte for byte", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    for (let seed = 1; seed <= 20; seed += 1) {
      const bytes = seeded(seed).bytes(seed * 100);
      await send({ body: bytes });
      expect(sent.at(-1)?.bytes, `seed ${seed}`).toEqual(bytes);
    }
  });

  it("divides a key's concurrent calls over the boxes, rounded up", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    for (const [concurrent, share] of [
      [1, 1],
      [2, 1],
      [3, 2],
      [10, 5],
    ] as const) {
      await send({ principal: { ...PRINCIPAL, limits: { ...PRINCIPAL.limits, concurrent } } });
      expect(callIn(sent.at(-1)).concurrent).toBe(share);
    }
  });

  it("has an opaque scope, different for each key and name, and never the name", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const scopeOf = async (scopeName: string, keyId: string, boxSecret = SETTINGS.boxSecret) => {
      const settings = { ...SETTINGS, boxSecret };
      await send({ call: callOf({ scopeName }), principal: { ...PRINCIPAL, keyId }, settings });
      return sent.at(-1)?.headers.get("x-isha-scope");
    };
    const jane = await scopeOf("Jane Doe", "key-a");
    expect(jane).toMatch(/^[0-9a-f]{32}$/);
    expect(await scopeOf("Jane Doe", "key-a")).toBe(jane);
    const others = [
      await scopeOf("Jane Do", "key-a"),
      await scopeOf("Jane Doe", "key-b"),
      await scopeOf("Jane Doe", "key-a", "another secret altogether"),
      await scopeOf("a:Jane Doe", "key-"),
    ];
    expect(new Set([jane, ...others]).size).toBe(5);
    for (const { headers } of sent) expect(JSON.stringify([...headers])).not.toContain("Jane");
  });
});

const NOT_STARTED = { "x-isha-started": "0" };

describe("the next box is tried", () => {
  it.each<[string, () => Response]>([
    ["if the tunnel has no connection", noTunnel],
    ["if Access redirects to its login", () => new Response(null, { status: 302 })],
    ["if Access refuses", () => new Response("<html>", { status: 403 })],
    [
      "if the agent returns 503 and started nothing",
      () => agentAnswer("north", "{}", { status: 503, headers: NOT_STARTED }),
    ],
    [
      "if the agent returns 502 and started nothing",
      () => agentAnswer("north", "{}", { status: 502, headers: NOT_STARTED }),
    ],
    ["if the agent refuses our token", () => agentAnswer("north", "{}", { status: 403 })],
  ])("%s", async (_, first) => {
    const sent = fakeFetch((one) =>
      boxOf(one) === "north" ? first() : agentAnswer("south", '{"by":"south"}'),
    );
    const answer = answerOf(await send());
    expect(await answer.response.json()).toEqual({ by: "south" });
    expect(sent.map(boxOf)).toEqual(["north", "south"]);
    expect(sent.map((one) => callIn(one).fallbackPorts)).toEqual([[], [9000]]);
    expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
  });

  it.each<[string, number, Record<string, string>]>([
    ["it succeeds", 200, {}],
    ["the agent returns 503 without stating that it started nothing", 503, {}],
    ["the agent returns 503 and started the call", 503, { "x-isha-started": "1" }],
    ["the agent returns 502 and started the call", 502, { "x-isha-started": "1" }],
    ["the agent returns 500", 500, NOT_STARTED],
    ["the agent returns 504", 504, NOT_STARTED],
    ["the agent returns 429", 429, NOT_STARTED],
    ["the agent returns 400", 400, NOT_STARTED],
  ])("but not if %s", async (_, status, headers) => {
    const sent = fakeFetch(() => agentAnswer("north", "{}", { status, headers }));
    expect(answerOf(await send()).response.status).toBe(status);
    expect(sent.map(boxOf)).toEqual(["north"]);
  });

  it.each<[string, () => Response]>([
    ["the connection broke", connectionLost],
    ["the tunnel returned 502", () => new Response("<html>", { status: 502 })],
    ["a 530 has another cause", () => new Response('{"error_code": 1014}', { status: 530 })],
    ["another program answered", () => Response.json({})],
    ["another box's agent answered", () => agentAnswer("elsewhere", "{}")],
  ])("but not if %s: a prompt that breaks one box must not visit every box", async (_, script) => {
    const sent = fakeFetch(script);
    const refusal = refusalOf(await send());
    expect(refusal).toMatchObject({ code: "box_unreachable", retryAfterMs: 5_000 });
    expect(refusal.internal).toContain("north");
    expect(refusal.message).toContain("may have run");
    expect(sent.map(boxOf)).toEqual(["north"]);
  });

  it.each([504, 522, 524])("but not after a timeout (%i): the call may be running", async (status) => {
    const sent = fakeFetch(() => new Response("<html>", { status }));
    const refusal = refusalOf(await send());
    expect(refusal.code).toBe("upstream_timeout");
    expect(refusal.message).not.toContain("html");
    expect(sent.length).toBe(1);
  });

  it("but not once the client has disconnected", async () => {
    const client = new AbortController();
    const sent = fakeFetch(() => {
      client.abort();
      return connectionLost();
    });
    await send({ signal: client.signal });
    expect(sent.map(boxOf)).toEqual(["north"]);
  });

  it("and the body of a discarded refusal is cancelled", async () => {
    let cancelled = false;
    const body = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    fakeFetch((one: Sent) =>
      boxOf(one) === "north"
        ? agentAnswer("north", body, { status: 503, headers: NOT_STARTED })
        : agentAnswer("south", "{}", { status: 503, headers: NOT_STARTED }),
    );
    await send();
    expect(cancelled).toBe(true);
  });
});

describe("if no box serves the call", () => {
  it("the last agent's refusal is the client's answer, with its code for the log", async () => {
    fakeFetch((one) =>
      boxOf(one) === "north"
        ? agentAnswer("north", '{"error":{"code":"overloaded"}}', {
            status: 503,
            headers: { ...NOT_STARTED, "x-isha-code": "overloaded", "retry-after": "7" },
          })
        : noTunnel(),
    );
    const { response, code } = answerOf(await send());
    expect(response.status).toBe(503);
    expect(code).toBe("overloaded");
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toEqual({ error: { code: "overloaded" } });
  });

  it("because its model is full, it isn't moved to another model, and gets a retry time", async () => {
    const full = {
      status: 503,
      headers: { ...NOT_STARTED, "x-isha-code": "overloaded", "retry-after": "7" },
    };
    const down = { status: 503, headers: { ...NOT_STARTED, "x-isha-code": "model_unavailable" } };
    const { decision } = forwardingOf().forwarding;
    const boxes = [...decision.boxes, { box: "north", ports: [], fallbackPorts: [9000] }];
    for (const second of [full, down]) {
      const sent = fakeFetch((one) => agentAnswer(boxOf(one), "{}", boxOf(one) === "north" ? full : second));
      const { response, code } = answerOf(await send({ decision: { ...decision, boxes } }));
      expect(sent.map((one) => [boxOf(one), callIn(one).ports, callIn(one).fallbackPorts])).toEqual([
        ["north", [9001], []],
        ["south", [9001], []],
      ]);
      expect([response.status, code, response.headers.get("retry-after")]).toEqual([503, "overloaded", "7"]);
    }
  });

  it("and none answers, the refusal is ours, with each cause for the log only", async () => {
    fakeFetch(noTunnel);
    const refusal = refusalOf(await send());
    expect(refusal).toMatchObject({ code: "box_unreachable", retryAfterMs: 5_000 });
    expect(refusal.internal).toMatch(/north.*south/);
    expect(refusal.message).not.toMatch(/north|south|1033/);
  });

  it("and each refuses our token, the client gets no permission error", async () => {
    fakeFetch((one) => agentAnswer(boxOf(one), '{"error":"bad token"}', { status: 403 }));
    const refusal = refusalOf(await send());
    expect(refusal.code).toBe("box_unreachable");
    expect(refusal.internal).toMatch(/BOX_SECRET/);
    expect(refusal.message).not.toMatch(/token|secret/i);
  });
});

describe("the answer", () => {
  it("of a request that killed two servers keeps its x-should-retry: false, and no other box gets it", async () => {
    const headers = { "x-isha-started": "1", "x-isha-code": "upstream_failed", "x-should-retry": "false" };
    const sent = fakeFetch(() => agentAnswer("north", "{}", { status: 502, headers }));
    const { response, code } = answerOf(await send());
    expect([response.status, code, response.headers.get("x-should-retry")]).toEqual([
      502,
      "upstream_failed",
      "false",
    ]);
    expect(sent.map(boxOf)).toEqual(["north"]);
  });

  it("has only the headers that are for the client", async () => {
    const allowed = Object.fromEntries(ANSWER_HEADERS.map((name) => [name, `value of ${name}`]));
    const others = {
      "set-cookie": "a=b",
      server: "uvicorn",
      "x-powered-by": "x",
      "x-isha-started": "1",
      "x-isha-code": "x",
      "x-isha-token": "x",
      "x-isha-scope": "x",
      "x-conversation-id": "x",
      "access-control-allow-origin": "https://evil.example",
      "content-security-policy": "x",
      etag: "x",
      via: "x",
    };
    fakeFetch(() =>
      agentAnswer("north", "{}", { headers: { ...others, ...allowed, "content-length": "2" } }),
    );
    const { response } = answerOf(await send());
    expect(Object.fromEntries(response.headers)).toEqual({ ...allowed, "content-length": "2" });
  });

  it.each([200, 400, 413, 500, 503])("keeps its status: %i", async (status) => {
    fakeFetch(() => agentAnswer("north", "{}", { status }));
    expect(answerOf(await send()).response.status).toBe(status);
  });

  it("keeps its bytes", async () => {
    const bytes = seeded(5).bytes(100_000);
    fakeFetch(() => agentAnswer("north", bytes));
    const { response } = answerOf(await send());
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });
});
