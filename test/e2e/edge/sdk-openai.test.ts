// OpenAI's own SDK against the stack: the code of a client developer, unchanged.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/until.ts";
import { CHEST_PAIN, forgetCalls, startReady, stateOf, switchServer, type Stack } from "../support/ask.ts";
import { expectRetriedInTime, failureOf, newKey, QUESTION, VISIT, watchedFetch } from "../support/sdk.ts";

let stack: Stack;
let client: OpenAI;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
  client = new OpenAI({ apiKey: "dev-key", baseURL: `${stack.edgeUrl}/v1` });
});
afterAll(async () => {
  await stack?.stop();
});

const messages = CHEST_PAIN as OpenAI.ChatCompletionMessageParam[];

test("a chat by agent type", async () => {
  const chat = await client.chat.completions.create({ model: "Clinical", messages });
  expect(chat.choices[0]?.message.content).toContain("chest pain");
  expect(chat.usage?.completion_tokens).toBeGreaterThan(0);
});

test("a streamed chat, with its usage on request", async () => {
  const stream = await client.chat.completions.create({
    model: "MedPalm2-8B",
    messages,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  const whole = await client.chat.completions.create({ model: "MedPalm2-8B", messages, temperature: 0 });
  expect(text).toBe(whole.choices[0]?.message.content);
  expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens);
});

test("the list of models, and one of them", async () => {
  const ids = (await client.models.list()).data.map((model) => model.id);
  expect(ids).toEqual(expect.arrayContaining(["BiMediX2-8B", "Qwen-0.6B", "Clinical", "Claims"]));
  expect(new Set(ids).size).toBe(ids.length);
  await until(async () => {
    expect(await client.models.retrieve("Clinical")).toMatchObject({
      id: "Clinical",
      isha: { model: "BiMediX2-8B", state: "ready" },
    });
    return true;
  }, "the edge reports the model ready");
});

test("errors are of the SDK's classes, with our code, field and request id", async () => {
  const unknown = await failureOf(client.chat.completions.create({ model: "nope", messages }));
  expect(unknown).toBeInstanceOf(OpenAI.NotFoundError);
  expect(unknown).toMatchObject({
    status: 404,
    code: "model_not_found",
    param: "model",
    requestID: expect.stringMatching(/^req_/),
  });

  const wrong = await failureOf(
    client.chat.completions.create({ model: "Clinical", messages, temperature: "hot" as never }),
  );
  expect(wrong).toBeInstanceOf(OpenAI.BadRequestError);
  expect(wrong).toMatchObject({ code: "invalid_request", param: "temperature" });

  const keyless = new OpenAI({ apiKey: "sk-not-ours", baseURL: `${stack.edgeUrl}/v1` });
  const refused = await failureOf(keyless.models.list());
  expect(refused).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(refused).toMatchObject({ code: "invalid_key" });
});

test("a stream that breaks ends in the SDK's error, never as if it were whole", async () => {
  await switchServer(stack, 8084, { cutAfterTokens: 10 });
  const stream = await client.chat.completions.create({
    model: "Claims",
    messages: [{ role: "user", content: "a long story, please" }],
    max_tokens: 1000,
    stream: true,
    ...({ ignore_eos: true } as object),
  });
  let chunks = 0;
  const broken = async (): Promise<void> => {
    for await (const _ of stream) chunks += 1;
  };
  await expect(broken()).rejects.toMatchObject({ code: "upstream_failed" });
  expect(chunks).toBeGreaterThan(5);
});

const PORT = 8085;
const asked = [{ role: "user" as const, content: QUESTION }];
const DAY = {
  type: "object",
  properties: { day: { type: "string", enum: ["mon", "tue"] }, floor: { type: "integer", minimum: 1 } },
  required: ["day", "floor"],
  additionalProperties: false,
};
const tools = [
  { type: "function" as const, function: { name: "book", description: "Book a visit", parameters: DAY } },
];

test("a tool call, streamed, and the answer to its result", async () => {
  const first = await client.chat.completions
    .stream({ model: "Clinical", messages: asked, tools, tool_choice: "required" })
    .finalChatCompletion();
  expect(first.choices[0]?.finish_reason).toBe("tool_calls");
  const message = first.choices[0]?.message;
  const [call] = message?.tool_calls ?? [];
  if (call?.type !== "function" || message === undefined) throw new Error("no call");
  expect(call.function.name).toBe("book");
  VISIT.parse(JSON.parse(call.function.arguments));
  const result = { role: "tool" as const, tool_call_id: call.id, content: "booked" };
  const { content, tool_calls } = message;
  const after: OpenAI.ChatCompletionMessageParam[] = [
    ...asked,
    { role: "assistant", content, tool_calls: tool_calls ?? [] },
    result,
  ];
  const last = await client.chat.completions.create({ model: "Clinical", messages: after, tools });
  expect(last.choices[0]).toMatchObject({ finish_reason: "stop" });
  expect(last.choices[0]?.message.content).toContain("chest pain");
});

test("an answer parsed with a schema", async () => {
  const response_format = zodResponseFormat(VISIT, "visit");
  const chat = await client.chat.completions.parse({ model: "Clinical", messages: asked, response_format });
  expect(() => VISIT.parse(chat.choices[0]?.message.parsed)).not.toThrow();
});

test("a response, whole and streamed, and a tool call in one", async () => {
  const body = { model: "Clinical", input: QUESTION, temperature: 0 };
  const whole = await client.responses.create(body);
  expect(whole.output_text).toContain("chest pain");
  expect(whole.usage?.output_tokens).toBeGreaterThan(0);
  let text = "";
  let last: string | undefined;
  for await (const event of await client.responses.create({ ...body, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event.type;
  }
  expect([text, last]).toEqual([whole.output_text, "response.completed"]);
  const flat = { type: "function" as const, strict: true, name: "book", parameters: DAY };
  const called = await client.responses.create({ ...body, tools: [flat], tool_choice: "required" });
  const call = called.output.find(({ type }) => type === "function_call");
  expect(call).toMatchObject({ name: "book", call_id: expect.stringMatching(/^call_/) });
});

test("completions of several prompts, and of several choices", async () => {
  const listed = await client.completions.create({
    model: "Clinical",
    prompt: ["one", "two"],
    max_tokens: 5,
  });
  expect(listed.choices.map(({ index }) => index)).toEqual([0, 1]);
  const several = await client.chat.completions.create({ model: "Clinical", messages, n: 2, logprobs: true });
  expect(several.choices).toHaveLength(2);
  expect(several.choices[1]?.logprobs?.content?.length).toBeGreaterThan(0);
});

test("an abort ends the stream, and the server's work on it", async () => {
  await forgetCalls(stack, PORT);
  await switchServer(stack, PORT, { stallAfterTokens: 5 });
  const stream = await client.chat.completions.create({ model: "Clinical", messages, stream: true });
  for await (const chunk of stream) if ((chunk.choices[0]?.delta.content ?? "") !== "") break;
  stream.controller.abort();
  await until(async () => (await stateOf(stack, PORT)).finished.at(-1)?.outcome === "aborted", "it stops");
  await switchServer(stack, PORT, { stallAfterTokens: null });
});

test("a refusal for one call too many is retried when Retry-After says so", async () => {
  const apiKey = await newKey(stack, { concurrent: 1 });
  const watched = watchedFetch(async ({ status }) => {
    if (status === 429) await switchServer(stack, PORT, { stall: false });
  });
  const limited = new OpenAI({
    apiKey,
    baseURL: `${stack.edgeUrl}/v1`,
    maxRetries: 20,
    fetch: watched.fetch,
  });
  const body = { model: "Clinical", messages };
  await until(async () => (await stateOf(stack, PORT)).generating === 0, "no call runs");
  await switchServer(stack, PORT, { stall: true });
  const other = new OpenAI({ apiKey, baseURL: `${stack.edgeUrl}/v1` });
  const running = other.chat.completions.create(body);
  await until(async () => (await stateOf(stack, PORT)).generating === 1, "the first call runs");
  const second = await limited.chat.completions.create(body);
  expect(second.choices[0]?.message.content).toContain("chest pain");
  expect((await running).choices).toHaveLength(1);
  expectRetriedInTime(watched.attempts, 429);
});

test("a refusal that no retry can help is sent once", async () => {
  const apiKey = await newKey(stack, { tokensPerMonth: 5 });
  const watched = watchedFetch();
  const spent = new OpenAI({ apiKey, baseURL: `${stack.edgeUrl}/v1`, maxRetries: 5, fetch: watched.fetch });
  let failure: unknown = null;
  await until(async () => {
    watched.attempts.length = 0;
    failure = await failureOf(spent.chat.completions.create({ model: "Clinical", messages }));
    return failure !== null;
  }, "the month is spent");
  expect(failure).toBeInstanceOf(OpenAI.RateLimitError);
  expect(failure).toMatchObject({ code: "quota_exceeded" });
  expect(watched.attempts).toHaveLength(1);
});

test("a model that makes no embeddings is a typed error that names what is missing", async () => {
  const failure = await failureOf(client.embeddings.create({ model: "Clinical", input: "a text" }));
  expect(failure).toBeInstanceOf(OpenAI.BadRequestError);
  expect(failure).toMatchObject({ code: "not_supported_by_model" });
});
