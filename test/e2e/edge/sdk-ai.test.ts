// The AI SDK with its provider for OpenAI's API against the stack: the code of a client developer, unchanged.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/until.ts";
import { forgetCalls, startReady, stateOf, switchServer, type Stack } from "../support/ask.ts";
import { QUESTION, VISIT } from "../support/sdk.ts";

const PORT = 8085;

let stack: Stack;
let model: ReturnType<ReturnType<typeof createOpenAICompatible>>;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
  const provider = createOpenAICompatible({
    name: "isha",
    baseURL: `${stack.edgeUrl}/v1`,
    apiKey: "dev-key",
    supportsStructuredOutputs: true,
    includeUsage: true,
  });
  model = provider("Clinical");
});
afterAll(async () => {
  await stack?.stop();
});

test("generateText and streamText bring the same text, with its usage", async () => {
  const whole = await generateText({ model, prompt: QUESTION, temperature: 0 });
  expect(whole.text).toContain("chest pain");
  expect(whole.finishReason).toBe("stop");
  const streamed = streamText({ model, prompt: QUESTION, temperature: 0 });
  let text = "";
  for await (const part of streamed.textStream) text += part;
  expect(text).toBe(whole.text);
  expect((await streamed.usage).outputTokens).toBe(whole.usage.outputTokens);
});

test("generateObject brings an object of the schema", async () => {
  const { object } = await generateObject({ model, schema: VISIT, prompt: QUESTION });
  expect(() => VISIT.parse(object)).not.toThrow();
});

test("a tool is called, its result sent back, and the answer is text", async () => {
  const visits: unknown[] = [];
  const book = tool({
    description: "Book a visit",
    inputSchema: VISIT,
    execute: (visit) => {
      visits.push(VISIT.parse(visit));
      return "booked";
    },
  });
  const { text, steps } = await generateText({
    model,
    prompt: QUESTION,
    tools: { book },
    stopWhen: stepCountIs(3),
  });
  expect(visits).toHaveLength(1);
  expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
  expect(text).toContain("chest pain");
});

test("an abort ends the stream, and the server's work on it", async () => {
  await forgetCalls(stack, PORT);
  await switchServer(stack, PORT, { stallAfterTokens: 5 });
  const leaving = new AbortController();
  const { textStream } = streamText({ model, prompt: QUESTION, abortSignal: leaving.signal });
  for await (const _ of textStream) leaving.abort();
  await until(async () => (await stateOf(stack, PORT)).finished.at(-1)?.outcome === "aborted", "it stops");
  await switchServer(stack, PORT, { stallAfterTokens: null });
});
