// Tests tool calls, schemas and streams of the simulator as SDKs read them, directly at its port: what a client of a real
// llama-server would see. The dialects' event order is held by the recordings; this holds what those lack.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { openLlamaServer } from "./in-process.ts";
import { ask, eventsOf, jsonOf } from "./replay/client.ts";
import type { OpenServer } from "./start.ts";

let server: OpenServer;
let openai: OpenAI;
let anthropic: Anthropic;
const FAST = { tokensPerSecond: 0, promptTokensPerSecond: 0, tools: true, grammar: true, reasoning: false };

beforeAll(async () => {
  server = await openLlamaServer({ context: 32_768, parallel: 4, flags: ["--embeddings"] });
  openai = new OpenAI({ apiKey: "none", baseURL: `${server.url}/v1`, maxRetries: 0 });
  anthropic = new Anthropic({ apiKey: "none", baseURL: server.url, maxRetries: 0 });
});
beforeEach(async () => void (await server.set(FAST)));
afterAll(async () => server.stop());

const messages = [{ role: "user" as const, content: "Please book a visit for my chest pain on Tuesday" }];
const DAY = {
  type: "object" as const,
  properties: { day: { type: "string", enum: ["mon", "tue"] }, floor: { type: "integer", minimum: 1 } },
  required: ["day", "floor"],
  additionalProperties: false,
};
const visit = z.strictObject({ day: z.enum(["mon", "tue"]), floor: z.int().min(1) });
const BOOK = { name: "book", description: "Book a visit", parameters: DAY };
const BILL = { name: "bill", description: "Send an invoice", parameters: { type: "object", properties: {} } };
const tools = [BILL, BOOK].map((tool) => ({ type: "function" as const, function: tool }));

describe("chat", () => {
  it("calls the tool that the question is about, whole and streamed", async () => {
    const whole = await openai.chat.completions.create({ model: "any", messages, tools });
    expect(whole.choices[0]?.finish_reason).toBe("tool_calls");
    const [call] = whole.choices[0]?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new Error("no call");
    expect(call.function.name).toBe("book");
    visit.parse(JSON.parse(call.function.arguments));
    const streamed = await openai.chat.completions
      .stream({ model: "any", messages, tools })
      .finalChatCompletion();
    expect(streamed.choices[0]?.finish_reason).toBe("tool_calls");
    const [again] = streamed.choices[0]?.message.tool_calls ?? [];
    expect(again?.type === "function" ? again.function.arguments : "").toBe(call.function.arguments);
  });

  it("honours tool_choice: none, required after a result, a name; an unknown one is refused", async () => {
    const create = async (more: object): Promise<OpenAI.ChatCompletion> =>
      openai.chat.completions.create({ model: "any", messages, tools, max_tokens: 200, ...more });
    const nameOf = (chat: OpenAI.ChatCompletion): string => {
      const [call] = chat.choices[0]?.message.tool_calls ?? [];
      return call?.type === "function" ? call.function.name : "";
    };
    const none = await create({ tool_choice: "none" });
    expect([nameOf(none), none.choices[0]?.message.content]).toEqual(["", expect.stringContaining("chest")]);
    expect(nameOf(await create({ tool_choice: { type: "function", function: { name: "bill" } } }))).toBe(
      "bill",
    );
    const call = { id: "1", type: "function", function: { name: "book", arguments: "{}" } };
    const called = [...messages, { role: "assistant", content: null, tool_calls: [call] }];
    const answered = { messages: [...called, { role: "tool", tool_call_id: "1", content: "booked" }] };
    const text = await create(answered);
    expect([nameOf(text), text.choices[0]?.finish_reason]).toEqual(["", "stop"]);
    expect(nameOf(await create({ ...answered, tool_choice: "required" }))).toBe("book");
    await expect(create({ tool_choice: "perhaps" })).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });

  it("makes two calls at once if the request allows it, also in every choice", async () => {
    const body = { model: "any", messages, tools, parallel_tool_calls: true, n: 2 };
    const whole = await openai.chat.completions.create(body);
    const streamed = await openai.chat.completions.stream(body).finalChatCompletion();
    for (const { message } of [...whole.choices, ...streamed.choices]) {
      const names = (message.tool_calls ?? []).map((call) =>
        call.type === "function" ? call.function.name : "",
      );
      expect(names).toEqual(["book", "bill"]);
    }
    const ids = whole.choices.flatMap(({ message }) => (message.tool_calls ?? []).map(({ id }) => id));
    expect(new Set(ids).size).toBe(4);
  });

  it("parses with a schema, whole and streamed, and answers json_object with an object", async () => {
    const response_format = zodResponseFormat(visit, "visit");
    const whole = await openai.chat.completions.parse({ model: "any", messages, response_format });
    const parsed = whole.choices[0]?.message.parsed;
    expect(() => visit.parse(parsed)).not.toThrow();
    const stream = openai.chat.completions.stream({ model: "any", messages, response_format });
    expect((await stream.finalChatCompletion()).choices[0]?.message.parsed).toEqual(parsed);
    const free = await openai.chat.completions.create({
      model: "any",
      messages,
      response_format: { type: "json_object" },
    });
    expect(JSON.parse(free.choices[0]?.message.content ?? "")).toBeTypeOf("object");
  });

  it("thinks before a call", async () => {
    await server.set({ reasoning: true });
    const { message } =
      (await openai.chat.completions.create({ model: "any", messages, tools })).choices[0] ?? {};
    expect(message).toMatchObject({ content: "", reasoning_content: expect.stringContaining("chest") });
    expect(message?.tool_calls).toHaveLength(1);
  });

  it("counts a tool's description as a part of the prompt", async () => {
    const count = async (body: object): Promise<number> => {
      const seen = await ask({ port: server.port, path: "/v1/chat/completions/input_tokens", body });
      return (jsonOf(seen) as { input_tokens: number }).input_tokens;
    };
    expect(await count({ messages, tools })).toBeGreaterThan(await count({ messages }));
  });

  it("refuses a grammar as its own limit, and together with tools as llama-server does", async () => {
    const refusal = async (more: object): Promise<string> =>
      (await ask({ port: server.port, path: "/v1/chat/completions", body: { messages, ...more } })).body;
    expect(await refusal({ grammar: 'root ::= "yes"' })).toContain("This is the simulator's limit");
    expect(await refusal({ grammar: 'root ::= "yes"', tools })).toContain("Cannot use custom grammar");
  });
});

it("completions fit a schema too", async () => {
  const body = { model: "any", prompt: "A visit", ...({ json_schema: DAY } as object) };
  const answer = await openai.completions.create(body);
  visit.parse(JSON.parse(answer.choices[0]?.text ?? ""));
});

describe("responses", () => {
  const flat = [{ type: "function" as const, strict: true, ...BOOK }];

  it("calls a tool as an item with an id and a call id, whole and streamed", async () => {
    const whole = await openai.responses.create({ model: "any", input: messages, tools: flat });
    const call = whole.output.find((item) => item.type === "function_call");
    expect(call).toMatchObject({
      id: expect.stringMatching(/^fc_/),
      call_id: expect.stringMatching(/^call_/),
    });
    visit.parse(JSON.parse(call?.arguments ?? ""));
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    const stream = await openai.responses.create({
      model: "any",
      input: messages,
      tools: flat,
      stream: true,
    });
    for await (const event of stream) events.push(event);
    const said = events.flatMap((e) => (e.type === "response.function_call_arguments.delta" ? e.delta : []));
    expect(said.join("")).toBe(call?.arguments);
    expect(events.map(({ type }) => type).filter((type) => !type.endsWith("delta"))).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.output_item.done",
      "response.completed",
    ]);
    const input = [
      ...messages,
      { type: "function_call" as const, call_id: "call_1", name: "book", arguments: "{}" },
      { type: "function_call_output" as const, call_id: "call_1", output: "booked" },
    ];
    const text = await openai.responses.create({ model: "any", input, tools: flat });
    expect(text.output_text).toContain("simulated");
  });

  it("takes a schema as response_format; text.format has no effect, as on a real one", async () => {
    const format = { type: "json_schema" as const, json_schema: { name: "visit", schema: DAY } };
    const bound = { model: "any", input: "a visit", ...({ response_format: format } as object) };
    const answer = await openai.responses.create(bound);
    visit.parse(JSON.parse(answer.output_text));
    const text = { format: { type: "json_schema" as const, name: "visit", schema: DAY } };
    const free = await openai.responses.create({ model: "any", input: "a visit", text });
    expect(() => JSON.parse(free.output_text) as unknown).toThrow(SyntaxError);
  });
});

describe("messages", () => {
  const offered = [BILL, BOOK].map(({ name, description, parameters }) => ({
    name,
    description,
    input_schema: parameters as Anthropic.Tool["input_schema"],
  }));
  const body = { model: "any", max_tokens: 500, messages, tools: offered };

  it("calls a tool as a block, whole and streamed", async () => {
    const whole = await anthropic.messages.create(body);
    expect(whole.stop_reason).toBe("tool_use");
    const block = whole.content.find(({ type }) => type === "tool_use");
    const streamed = await anthropic.messages.stream(body).finalMessage();
    const again = streamed.content.find(({ type }) => type === "tool_use");
    if (block?.type !== "tool_use" || again?.type !== "tool_use") throw new Error("no call");
    visit.parse(block.input);
    expect([again.name, again.input, streamed.stop_reason]).toEqual(["book", block.input, "tool_use"]);
  });

  it("answers a tool's result with text, and any means a call", async () => {
    const used = { type: "tool_use" as const, id: "1", name: "book", input: { day: "tue", floor: 1 } };
    const result = { type: "tool_result" as const, tool_use_id: "1", content: "booked" };
    const after: Anthropic.MessageParam[] = [
      ...messages,
      { role: "assistant", content: [used] },
      { role: "user", content: [result] },
    ];
    const text = await anthropic.messages.create({ ...body, messages: after });
    expect([text.stop_reason, text.content[0]?.type]).toEqual(["end_turn", "text"]);
    const forced = await anthropic.messages.create({
      ...body,
      messages: after,
      tool_choice: { type: "any" },
    });
    expect(forced.stop_reason).toBe("tool_use");
  });

  it("streams text and counts tokens, tools among them", async () => {
    const { tools: _, ...plain } = body;
    const stream = anthropic.messages.stream(plain);
    expect(await stream.finalText()).toContain("chest");
    const count = async (more: object): Promise<number> =>
      (await anthropic.messages.countTokens({ model: "any", messages, ...more })).input_tokens;
    expect(await count({ tools: offered })).toBeGreaterThan(await count({}));
  });

  it("cut arguments are an empty object", async () => {
    const cut = await anthropic.messages.create({ ...body, max_tokens: 3 });
    expect(cut).toMatchObject({ stop_reason: "max_tokens", content: [{ type: "tool_use", input: {} }] });
  });
});

it("several tokens in an event keep every call whole", async () => {
  await server.set({ tokensPerEvent: [7, 0, 3] });
  const body = { messages, tools, parallel_tool_calls: true, stream: true };
  const seen = await ask({ port: server.port, path: "/v1/chat/completions", body });
  type Chunk = {
    choices?: { delta: { tool_calls?: { index: number; function: { arguments?: string } }[] } }[];
  };
  const texts = ["", ""];
  for (const { data } of eventsOf(seen.body)) {
    for (const call of (data as Chunk).choices?.[0]?.delta.tool_calls ?? []) {
      texts[call.index] += call.function.arguments ?? "";
    }
  }
  visit.parse(JSON.parse(texts[0] ?? ""));
  expect(texts[1]).toBe("{}");
  await server.set({ tokensPerEvent: [1] });
});

it("embeddings by the SDK, as base64 by default and as numbers", async () => {
  const create = async (more: object): Promise<number[]> =>
    (await openai.embeddings.create({ model: "any", input: "one text", ...more })).data[0]?.embedding ?? [];
  const packed = await create({});
  const plain = await create({ encoding_format: "float" });
  expect(packed).toHaveLength(plain.length);
  for (const [at, number] of plain.entries()) expect(packed[at]).toBeCloseTo(number, 6);
});
