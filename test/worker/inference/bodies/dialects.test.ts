// The bodies of the dialects beside chat: what each accepts, what the edge reads from it, and how it is refused.
import { describe, expect, it } from "vitest";
import transcripts from "../../../fixtures/llama-transcripts.json" with { type: "json" };
import { dialectOf, type Dialect } from "../../../../shared/dialects.ts";
import type { Refusal } from "../../../../shared/errors.ts";
import { readCall, type ModelCall } from "../../../../worker/inference/model-call.ts";

const SECRET = "a word of the patient's";
const bytes = (body: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(body));

function read(dialect: Dialect, body: object): ModelCall {
  const call = readCall(dialect, bytes(body));
  if (!call.ok) throw new Error(call.refusal.message);
  return call.value;
}

function refusal(dialect: Dialect, body: object): Refusal {
  const call = readCall(dialect, bytes(body));
  if (call.ok) throw new Error("it was not refused");
  expect(JSON.stringify(call.refusal)).not.toContain(SECRET);
  return call.refusal;
}

const HELLO = [{ role: "user", content: "hello" }];
const MINIMAL: Readonly<Record<Dialect, object>> = {
  chat: { messages: HELLO },
  completions: { prompt: "hello" },
  responses: { input: "hello" },
  messages: { messages: HELLO, max_tokens: 10 },
  count_tokens: { messages: HELLO },
  embeddings: { input: "hello" },
  rerank: { query: "chest", documents: ["chest pain", "invoice"] },
  tokenize: { content: "hello" },
  detokenize: { tokens: [1, 2] },
  apply_template: { messages: HELLO },
};
const ALL = Object.entries(MINIMAL) as [Dialect, object][];

describe("every dialect", () => {
  it.each(ALL)("%s accepts its minimal body, and the fields that name a server", (dialect, body) => {
    expect(read(dialect, body)).toMatchObject({ dialect, modelPort: null, agentType: null, model: null });
    const target = { model: "Clinical", agent_type: "Claims", model_port: "8085", fallback: false };
    expect(read(dialect, { ...body, ...target })).toMatchObject({
      modelPort: 8085,
      agentType: "Claims",
      model: "Clinical",
      mayFallBack: false,
      format: dialect === "chat" ? "mediczy" : "openai",
    });
  });

  it.each(ALL)("%s refuses an empty object and names the missing field", (dialect, body) => {
    const [first = ""] = Object.keys(body);
    expect(refusal(dialect, {})).toMatchObject({ code: "invalid_request", param: first });
    expect(refusal(dialect, {}).message).toContain("is missing");
  });

  it.each(ALL.filter(([dialect]) => dialect !== "chat"))("%s has no choice of format", (dialect, body) => {
    expect(refusal(dialect, { ...body, format: "mediczy" })).toMatchObject({ param: "format" });
  });

  it.each(ALL)("%s refuses fields that reach beyond the call", (dialect, body) => {
    for (const [name, param] of [
      ["lora", "lora"],
      ["n_keep", "n_keep"],
      ["verbose", "verbose"],
      ["speculative.n_max", "speculative"],
    ] as const) {
      expect(refusal(dialect, { ...body, [name]: 1 }).param).toBe(param);
    }
  });

  it.each(
    transcripts.flatMap(({ name, request, response }) => {
      const dialect = request?.method === "POST" ? dialectOf(request.path) : undefined;
      const isAnswered = response?.status === 200 && typeof request?.body === "object";
      return dialect !== undefined && isAnswered ? [{ name, dialect, body: request.body as object }] : [];
    }),
  )("accepts what a real server answered: $name", ({ dialect, body }) => {
    expect(readCall(dialect, bytes(body)).ok).toBe(true);
  });
});

describe("a body of another dialect", () => {
  it.each<[Dialect, object, string]>([
    ["chat", { prompt: SECRET }, "POST /v1/completions"],
    ["chat", { input: SECRET }, "POST /v1/responses"],
    ["completions", { messages: HELLO }, "POST /v1/chat/completions"],
    ["responses", { messages: HELLO }, "POST /v1/chat/completions"],
    ["messages", { prompt: SECRET, max_tokens: 3 }, "POST /v1/completions"],
    ["embeddings", { prompt: SECRET }, "POST /v1/completions"],
  ])("at %s is refused with its own route", (dialect, body, route) => {
    expect(refusal(dialect, body).message).toContain(`belongs to ${route}`);
  });

  it("OpenAI's system message at /v1/messages is refused with both places", () => {
    const refused = refusal("messages", {
      max_tokens: 3,
      messages: [{ role: "system", content: SECRET }, ...HELLO],
    });
    expect(refused.param).toBe("messages[0].role");
    expect(refused.message).toContain("the field system");
    expect(refused.message).toContain("POST /v1/chat/completions");
  });
});

describe("/v1/completions", () => {
  it.each<[object, number, boolean]>([
    [{ prompt: "a" }, 1, true],
    [{ prompt: "a", n: 2 }, 2, false],
    [{ prompt: ["a", "b"] }, 2, false],
    [{ prompt: ["a", "b"], n: 2 }, 4, false],
    [{ prompt: [1, 2, 3] }, 1, false],
    [{ prompt: ["a", 2] }, 1, false],
    [{ prompt: [[1, 2], [3]] }, 2, false],
    [{ prompt: "a", logprobs: 2 }, 1, false],
    [{ prompt: "a", grammar: "root ::= 'a'" }, 1, false],
  ])("%j takes its slots, and only plain text can be continued", (body, choices, continuable) => {
    expect(read("completions", body)).toMatchObject({ choices, continuable });
  });

  it.each<[object, string, RegExp]>([
    [{ prompt: [] }, "prompt", /must not be empty/],
    [{ prompt: 5 }, "prompt", /must be a string or an array; got 5/],
    [{ prompt: "a", echo: true }, "echo", /not supported by llama-server/],
    [{ prompt: "a", suffix: SECRET }, "suffix", /not supported/],
    [{ prompt: "a", logprobs: 99 }, "logprobs", /from 0 to 20; got 99/],
  ])("refuses %j", (body, param, message) => {
    const refused = refusal("completions", body);
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
  });
});

describe("/v1/responses", () => {
  it("reads its own cap, tools and images", () => {
    const call = read("responses", {
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "what is this" },
            { type: "input_image", image_url: "data:image/png;base64,AA==" },
          ],
        },
      ],
      max_output_tokens: 50,
      tools: [{ type: "function", name: "book", parameters: { type: "object" } }],
    });
    expect(call).toMatchObject({ maxTokens: 50, suspects: ["tools"], continuable: false });
    expect(call.needs).toEqual([
      { capability: "chat", param: undefined },
      { capability: "tools", param: "tools" },
      { capability: "vision", param: "input[0].content[1]" },
    ]);
  });

  it("accepts a conversation with calls of functions and their results", () => {
    expect(
      read("responses", {
        input: [
          { role: "user", content: "book it" },
          { type: "function_call", call_id: "c1", name: "book", arguments: "{}" },
          { type: "function_call_output", call_id: "c1", output: "done" },
          { type: "message", role: "assistant", content: [{ type: "output_text", text: "Done." }] },
        ],
      }).choices,
    ).toBe(1);
  });

  it.each<[object, string, RegExp]>([
    [{ previous_response_id: "resp_1" }, "previous_response_id", /keeps no answers/],
    [{ conversation: "conv_1" }, "conversation", /keeps no answers/],
    [{ store: true }, "store", /must be false or absent/],
    [{ background: true }, "background", /must be false or absent/],
    [{ tools: [{ type: "web_search" }] }, "tools[0].type", /must be one of function/],
    [
      { text: { format: { type: "json_schema", schema: {} } } },
      "text.format.type",
      /response_format of POST \/v1\/chat/,
    ],
    [
      { input: [{ role: "user", content: [{ type: "input_file", file_id: "f" }] }] },
      "input[0].content[0].type",
      /must be one of/,
    ],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "https://x.example/a.png" }] }] },
      "input[0].content[0].image_url",
      /must be a data: URL/,
    ],
  ])("refuses %j", (fields, param, message) => {
    const refused = refusal("responses", { input: "hello", ...fields });
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
  });
});

describe("/v1/messages", () => {
  it("reads cap, scope, tools and images", () => {
    const call = read("messages", {
      max_tokens: 100,
      system: [{ type: "text", text: "be brief" }],
      stream: true,
      metadata: { user_id: "patient-7" },
      tools: [{ name: "book", input_schema: { type: "object" } }],
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "see" },
            { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
          ],
        },
      ],
    });
    expect(call).toMatchObject({ maxTokens: 100, stream: true, scopeName: "patient-7", continuable: false });
    expect(call.needs.map(({ capability }) => capability)).toEqual(["chat", "tools", "vision"]);
  });

  it("accepts a conversation with tools", () => {
    expect(
      read("messages", {
        max_tokens: 5,
        messages: [
          ...HELLO,
          { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "book", input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "done" }] },
        ],
      }).dialect,
    ).toBe("messages");
  });

  it.each<[object, string, RegExp]>([
    [{ max_tokens: undefined }, "max_tokens", /is missing/],
    [{ max_tokens: 0 }, "max_tokens", /1 or more; got 0/],
    [
      { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      "tools[0].type",
      /runs no tools of its own/,
    ],
    [{ tool_choice: { type: "required" } }, "tool_choice.type", /must be one of auto, any, tool, none/],
    [{ temperature: -1 }, "temperature", /from 0 to 5; got -1/],
    [
      { messages: [{ role: "user", content: [{ type: "document" }] }] },
      "messages[0].content[0].type",
      /must be one of/,
    ],
    [
      { messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: SECRET } }] }] },
      "messages[0].content[0].source.type",
      /must be "base64"/,
    ],
  ])("refuses %j", (fields, param, message) => {
    const refused = refusal("messages", { messages: HELLO, max_tokens: 10, ...fields });
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
  });
});

describe("the other routes", () => {
  it.each<[Dialect, object, string]>([
    ["embeddings", { input: [] }, "input"],
    ["embeddings", { input: "a", encoding_format: "hex" }, "encoding_format"],
    ["embeddings", { input: Array.from({ length: 257 }, () => "a") }, "input"],
    ["rerank", { query: "a" }, "documents"],
    ["rerank", { query: "a", documents: [] }, "documents"],
    ["rerank", { query: "a", documents: [{ text: SECRET }] }, "documents[0]"],
    ["rerank", { query: "a", documents: ["b"], top_n: 0 }, "top_n"],
    ["tokenize", { content: 5 }, "content"],
    ["detokenize", { tokens: SECRET }, "tokens"],
    ["detokenize", { tokens: [1, -1] }, "tokens[1]"],
    ["count_tokens", { messages: [] }, "messages"],
    ["apply_template", { messages: [{ role: "user" }] }, "messages[0].content"],
  ])("%s refuses %j", (dialect, body, param) => {
    expect(refusal(dialect, body)).toMatchObject({ code: "invalid_request", param });
  });
});

describe("a near miss of our fields", () => {
  it.each([
    ["agentType", "agent_type"],
    ["agent_types", "agent_type"],
    ["agenttype", "agent_type"],
    ["agent", "agent_type"],
    ["modelPort", "model_port"],
    ["modelport", "model_port"],
    ["port", "model_port"],
  ])("%s is refused on the chat route, unless %s is there too", (name, right) => {
    const refused = refusal("chat", { messages: HELLO, [name]: SECRET });
    expect(refused).toMatchObject({ code: "invalid_request", param: name });
    expect(refused.message).toContain(`Did you mean ${right}?`);
    const value = right === "agent_type" ? "Clinical" : 8085;
    expect(read("chat", { messages: HELLO, [name]: "x", [right]: value }).dialect).toBe("chat");
    expect(read("completions", { prompt: "a", [name]: "x" }).dialect).toBe("completions");
  });
});
