// OpenAI's own SDK against the stack: what a client developer writes, unchanged.
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/until.ts";
import { CHEST_PAIN, startReady, switchServer, type Stack } from "./ask.ts";

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

test("a streamed chat, with its usage where it was asked for", async () => {
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
  const failed = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => null,
      (error: unknown) => error,
    );
  const unknown = await failed(client.chat.completions.create({ model: "nope", messages }));
  expect(unknown).toBeInstanceOf(OpenAI.NotFoundError);
  expect(unknown).toMatchObject({
    status: 404,
    code: "model_not_found",
    param: "model",
    requestID: expect.stringMatching(/^req_/),
  });

  const wrong = await failed(
    client.chat.completions.create({ model: "Clinical", messages, temperature: "hot" as never }),
  );
  expect(wrong).toBeInstanceOf(OpenAI.BadRequestError);
  expect(wrong).toMatchObject({ code: "invalid_request", param: "temperature" });

  const keyless = new OpenAI({ apiKey: "sk-not-ours", baseURL: `${stack.edgeUrl}/v1` });
  const refused = await failed(keyless.models.list());
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
