// The edge's refusals: each with its status and code, none seen by a llama-server, none a 500, and no
// word of the client's in the answer.
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_BODY_KIB } from "../../../shared/limits.ts";
import {
  ask,
  askReady,
  callsSeen,
  CHEST_PAIN,
  errorOf,
  fetchEdge,
  startReady,
  type Stack,
} from "../support/ask.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

const SECRET = "Jane-Roe-has-diabetes";
const deep = `{"messages":[{"role":"user","content":"${SECRET}"}],"tools":${"[".repeat(5000)}${"]".repeat(5000)}}`;
const chat = (more: object): string =>
  JSON.stringify({ messages: [{ role: "user", content: SECRET }], ...more });
const lone = `{"messages":[{"role":"user","content":"${SECRET} \\ud83d"}]}`;

const bodies: [
  what: string,
  body: string | Uint8Array,
  status: number,
  code: string,
  param: string | null,
][] = [
  ["not JSON", `{"messages": ${SECRET}`, 400, "invalid_json", null],
  ["empty", "", 400, "invalid_json", null],
  ["an empty object", "{}", 400, "invalid_request", "messages"],
  ["a list", `["${SECRET}"]`, 400, "invalid_json", null],
  ["a word", `"${SECRET}"`, 400, "invalid_json", null],
  [
    "not UTF-8",
    new Uint8Array([...Buffer.from('{"messages":"'), 0xff, 0xfe, ...Buffer.from('"}')]),
    400,
    "invalid_json",
    null,
  ],
  ["a byte-order mark", `\ufeff${chat({})}`, 400, "invalid_json", null],
  ["too large", chat({ pad: "x".repeat(1024 * 1024) }), 413, "body_too_large", null],
  ["too deep", deep, 400, "invalid_request", "tools[0][0][0][0][0]"],
  ["no messages", `{"agent_type":"Clinical","prompt":"${SECRET}"}`, 400, "invalid_request", "messages"],
  ["messages that are a string", `{"messages":"${SECRET}"}`, 400, "invalid_request", "messages"],
  ["an empty list of messages", `{"messages":[]}`, 400, "invalid_request", "messages"],
  [
    "a message without content",
    `{"messages":[{"role":"user"}]}`,
    400,
    "invalid_request",
    "messages[0].content",
  ],
  [
    "content that is a number",
    `{"messages":[{"role":"user","content":7}]}`,
    400,
    "invalid_request",
    "messages[0].content",
  ],
  [
    "an unknown role",
    `{"messages":[{"role":"${SECRET}","content":"a"}]}`,
    400,
    "invalid_request",
    "messages[0].role",
  ],
  ["max_tokens that is a word", chat({ max_tokens: "many" }), 400, "invalid_request", "max_tokens"],
  ["a temperature that is a list", chat({ temperature: [1] }), 400, "invalid_request", "temperature"],
  ["stream that is a word", chat({ stream: "yes" }), 400, "invalid_request", "stream"],
  ["a lone surrogate", lone, 400, "invalid_request", "messages[0].content"],
  [
    "a number past all numbers",
    `{"messages":[{"role":"user","content":"${SECRET}"}],"seed":1e400}`,
    400,
    "invalid_request",
    "seed",
  ],
  ["an unknown port", chat({ model_port: 8083 }), 400, "unknown_port", "model_port"],
  ["a port that is no port", chat({ model_port: "eighty" }), 400, "invalid_request", "model_port"],
  ["an unknown model", chat({ model: "gpt-4o" }), 404, "model_not_found", "model"],
  ["a format there isn't", chat({ format: "xml" }), 400, "invalid_request", "format"],
  [
    "an image for a text model",
    chat({
      messages: [
        { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA" } }] },
      ],
    }),
    400,
    "not_supported_by_model",
    "messages[0].content[0]",
  ],
  [
    "an image from elsewhere",
    chat({
      messages: [
        { role: "user", content: [{ type: "image_url", image_url: { url: "http://127.0.0.1:1/x.png" } }] },
      ],
    }),
    400,
    "invalid_request",
    "messages[0].content[0].image_url.url",
  ],
  ["more choices than slots", chat({ n: 3 }), 400, "invalid_request", "n"],
  [
    "too many stop strings",
    chat({ stop: Array.from({ length: 17 }, () => "a") }),
    400,
    "invalid_request",
    "stop",
  ],
  [
    "too many log-probabilities",
    chat({ logprobs: true, top_logprobs: 21 }),
    400,
    "invalid_request",
    "top_logprobs",
  ],
  ...[
    "lora",
    "n_cache_reuse",
    "n_keep",
    "n_discard",
    "verbose",
    "return_tokens",
    "chat_format",
    "chat_parser",
    "sse_ping_interval",
  ].map((name): (typeof bodies)[number] => [
    `the field ${name}`,
    chat({ [name]: 1 }),
    400,
    "invalid_request",
    name,
  ]),
];

test.each(bodies)("%s", async (_, body, status, code, param) => {
  const before = await callsSeen(stack);
  const answer = await ask(stack, body);
  expect(answer.status).toBe(status);
  expect(errorOf(answer)).toMatchObject({ code, param, request_id: answer.headers.get("x-request-id") });
  expect(errorOf(answer).message.length).toBeGreaterThan(20);
  expect(answer.text).not.toContain(SECRET);
  expect(answer.headers.get("x-should-retry")).toBe("false");
  expect(await callsSeen(stack)).toEqual(before);
});

test.each([
  ["text/plain", 415],
  ["application/x-www-form-urlencoded", 415],
  ["application/jsonp", 415],
  ["application/json; charset=utf-8", 200],
])("the content type %s is a %i", async (type, status) => {
  expect((await askReady(stack, chat({ max_tokens: 1 }), { "content-type": type })).status).toBe(status);
});

test("a packed body is a 415", async () => {
  const answer = await ask(stack, chat({}), { "content-encoding": "gzip" });
  expect([answer.status, errorOf(answer).code]).toEqual([415, "unsupported_media_type"]);
});

test("a body without a length that grows too large is a 413", async () => {
  const chunk = new TextEncoder().encode("x".repeat(64 * 1024));
  // One chunk too much: of more, a client may only learn that its connection was closed under it.
  const most = (DEFAULT_BODY_KIB * 1024) / chunk.length + 1;
  const send = (): Promise<Response> => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        if (sent > most) controller.close();
        else controller.enqueue(chunk);
      },
    });
    return fetch(`${stack.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
      body,
      ...({ duplex: "half" } as object),
    });
  };
  let response = await send();
  // As `fetchEdge` does; a body is sent once.
  while (response.status === 503) response = await send();
  expect(response.status).toBe(413);
  await response.body?.cancel();
});

const keys: [what: string, headers: Record<string, string>, code: string][] = [
  ["no key", { authorization: "" }, "missing_key"],
  ["another scheme", { authorization: "Basic ZGV2LWtleTo=" }, "invalid_key"],
  ["another service's key", { authorization: "Bearer sk-proj-abcdef" }, "invalid_key"],
  [
    "a key of ours with a wrong letter",
    { authorization: `Bearer isha_0123456789_${"a".repeat(49)}` },
    "invalid_key",
  ],
  ["two keys that differ", { "x-api-key": "dev-admin" }, "invalid_key"],
  ["a very long key", { authorization: `Bearer ${"k".repeat(4000)}` }, "invalid_key"],
];
test.each(keys)("%s is a 401", async (_, headers, code) => {
  const answer = await ask(stack, chat({}), headers);
  expect([answer.status, errorOf(answer).code]).toEqual([401, code]);
  expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="isha"');
});

test.each([
  `{"agent_type":"Clinical","model_port":8085,"messages":[{"role":"user","content":"Patient complaint: chest pain"}]}`,
  `{"agent_type":"Claims","messages":[{"role":"user","content":"What is my coverage?"}]}`,
])("the old system's %s is refused with a 401 that says how to send a key", async (body) => {
  const answer = await ask(stack, body, { authorization: null });
  expect([answer.status, errorOf(answer).code]).toEqual([401, "missing_key"]);
  expect(errorOf(answer).message).toContain("Authorization: Bearer <key>");
});

test("x-api-key is as good as Authorization", async () => {
  const response = await fetchEdge(`${stack.edgeUrl}/v1/models`, { headers: { "x-api-key": "dev-key" } });
  expect(response.status).toBe(200);
});

test("a key that may only administer asks no model", async () => {
  const created = await fetchEdge(`${stack.edgeUrl}/admin/keys`, {
    method: "POST",
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    body: JSON.stringify({ name: "Administration", scopes: ["admin"] }),
  });
  const { key } = (await created.json()) as { key: string };
  const answer = await ask(stack, chat({}), { authorization: `Bearer ${key}` });
  expect([answer.status, errorOf(answer).code]).toEqual([403, "scope_missing"]);
});

test("an unknown route is a 404, a wrong method a 405 that says which", async () => {
  const get = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
    headers: { authorization: "Bearer dev-key" },
  });
  expect([get.status, get.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
  const route = await fetchEdge(`${stack.edgeUrl}/${SECRET}`);
  expect(route.status).toBe(404);
  expect(await route.text()).not.toContain(SECRET);
});

test("a preflight needs no key", async () => {
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    },
  });
  expect(response.status).toBe(204);
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  expect(response.headers.get("access-control-allow-headers")).toContain("authorization");
});

test("a request that is no HTTP leaves the edge serving", async () => {
  const { hostname, port } = new URL(stack.edgeUrl);
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.end("RUBBISH\r\n\r\n"));
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
    socket.resume();
  });
  expect((await askReady(stack, { max_tokens: 1, messages: CHEST_PAIN })).status).toBe(200);
});
