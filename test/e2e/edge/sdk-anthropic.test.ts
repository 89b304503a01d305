// Anthropic's own SDK against the stack: the code of a client developer, unchanged.
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/until.ts";
import {
  ask,
  CHEST_PAIN,
  forgetCalls,
  startReady,
  stateOf,
  switchServer,
  type Stack,
} from "../support/ask.ts";
import { expectRetriedInTime, failureOf, QUESTION, VISIT, watchedFetch } from "../support/sdk.ts";

const PORT = 8085;
/** More calls than one server's slots and queue hold. */
const TOO_MANY = 80;

let stack: Stack;
let client: Anthropic;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
  client = new Anthropic({ apiKey: "dev-key", baseURL: stack.edgeUrl });
});
afterAll(async () => {
  await stack?.stop();
});

const messages = [{ role: "user" as const, content: QUESTION }];
const body = { model: "Clinical", max_tokens: 400, messages, temperature: 0 };
const tools: Anthropic.Tool[] = [
  {
    name: "book",
    description: "Book a visit",
    input_schema: {
      type: "object",
      properties: { day: { enum: ["mon", "tue"] }, floor: { type: "integer", minimum: 1 } },
      required: ["day", "floor"],
    },
  },
];

test("a message, whole and streamed", async () => {
  const whole = await client.messages.create(body);
  const [block] = whole.content;
  if (block?.type !== "text") throw new Error("no text");
  expect(block.text).toContain("chest pain");
  expect(whole.stop_reason).toBe("end_turn");
  const stream = client.messages.stream(body);
  expect(await stream.finalText()).toBe(block.text);
  expect((await stream.finalMessage()).usage.output_tokens).toBe(whole.usage.output_tokens);
});

test("a tool call, streamed, and the answer to its result", async () => {
  const called = await client.messages.stream({ ...body, tools }).finalMessage();
  const used = called.content.find((block) => block.type === "tool_use");
  if (used?.type !== "tool_use") throw new Error("no call");
  expect([called.stop_reason, used.name]).toEqual(["tool_use", "book"]);
  VISIT.parse(used.input);
  const after: Anthropic.MessageParam[] = [
    ...messages,
    { role: "assistant", content: called.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: used.id, content: "booked" }] },
  ];
  const last = await client.messages.create({ ...body, tools, messages: after });
  expect([last.stop_reason, last.content[0]?.type]).toEqual(["end_turn", "text"]);
});

test("tokens are counted, a tool's description among them", async () => {
  const plain = await client.messages.countTokens({ model: "Clinical", messages });
  const more = await client.messages.countTokens({ model: "Clinical", messages, tools });
  expect(plain.input_tokens).toBeGreaterThan(0);
  expect(more.input_tokens).toBeGreaterThan(plain.input_tokens);
});

test("the list of models, in Anthropic's format", async () => {
  const ids: string[] = [];
  for await (const { id, type } of client.models.list()) {
    expect(type).toBe("model");
    ids.push(id);
  }
  expect(ids).toEqual(expect.arrayContaining(["BiMediX2-8B", "Clinical"]));
  expect(new Set(ids).size).toBe(ids.length);
});

test("errors are of the SDK's classes, in Anthropic's format, with our request id", async () => {
  const unknown = await failureOf(client.messages.create({ ...body, model: "nope" }));
  expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
  expect(unknown).toMatchObject({
    status: 404,
    error: {
      type: "error",
      error: { type: "not_found_error" },
      request_id: expect.stringMatching(/^req_/),
    },
  });
  const wrong = await failureOf(client.messages.create({ ...body, max_tokens: undefined as never }));
  expect(wrong).toBeInstanceOf(Anthropic.BadRequestError);
  expect(wrong).toMatchObject({ error: { error: { type: "invalid_request_error" } } });
  const keyless = new Anthropic({ apiKey: "sk-not-ours", baseURL: stack.edgeUrl });
  const refused = await failureOf(keyless.messages.create(body));
  expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
});

test("a stream that breaks ends in the SDK's error, with one start", async () => {
  await switchServer(stack, PORT, { cutAfterTokens: 10 });
  const types: string[] = [];
  const broken = async (): Promise<void> => {
    const stream = await client.messages.create({ ...body, stream: true });
    for await (const { type } of stream) types.push(type);
  };
  const failure = await failureOf(broken());
  await switchServer(stack, PORT, { cutAfterTokens: null });
  expect(failure).toBeInstanceOf(Anthropic.APIError);
  expect(types.filter((type) => type === "message_start")).toHaveLength(1);
  expect(types).not.toContain("message_stop");
});

test("an abort ends the stream, and the server's work on it", async () => {
  await forgetCalls(stack, PORT);
  await switchServer(stack, PORT, { stallAfterTokens: 5 });
  const stream = client.messages.stream(body);
  stream.on("text", () => stream.abort());
  expect(await failureOf(stream.done())).toBeInstanceOf(Anthropic.APIUserAbortError);
  await until(async () => (await stateOf(stack, PORT)).finished.at(-1)?.outcome === "aborted", "it stops");
  await switchServer(stack, PORT, { stallAfterTokens: null });
});

test("overloaded is retried when Retry-After says so", async () => {
  await until(async () => (await stateOf(stack, PORT)).generating === 0, "no call runs");
  await switchServer(stack, PORT, { stall: true });
  const chat = { agent_type: "Clinical", fallback: false, max_tokens: 5, messages: CHEST_PAIN };
  const calls = Array.from({ length: TOO_MANY }, async () => ask(stack, chat));
  await Promise.any(
    calls.map(async (call) => {
      expect((await call).text).toContain('"overloaded"');
    }),
  );
  const watched = watchedFetch(async ({ status }) => {
    if (status === 503) await switchServer(stack, PORT, { stall: false });
  });
  const patient = new Anthropic({
    apiKey: "dev-key",
    baseURL: stack.edgeUrl,
    maxRetries: 20,
    fetch: watched.fetch,
  });
  const first = { ...body, ...({ fallback: false } as object) };
  expect((await patient.messages.create(first)).stop_reason).toBe("end_turn");
  expectRetriedInTime(watched.attempts, 503);
  await Promise.all(calls);
});
