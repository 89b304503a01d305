// What a chat body may hold. A refusal names the field by its path, what was expected and what came; never the value.
import { describe, expect, it } from "vitest";
import { MAX_LOGPROBS, MAX_MESSAGES, MAX_STOP_STRINGS } from "../../../shared/limits.ts";
import type { Refusal } from "../../../shared/errors.ts";
import { checkChatBody } from "../../../worker/inference/chat-body.ts";
import { chat } from "../support/edge.ts";

const SECRET = "a word of the patient's";

function refusal(body: Readonly<Record<string, unknown>>): Refusal {
  const checked = checkChatBody(body);
  if (checked.ok) throw new Error("it was not refused");
  expect(checked.refusal.code).toBe("invalid_request");
  expect(JSON.stringify(checked.refusal)).not.toContain(SECRET);
  return checked.refusal;
}

const says = (message: unknown): Record<string, unknown> => ({ messages: [message] });
const part = (content: unknown): Record<string, unknown> => says({ role: "user", content: [content] });

describe("messages", () => {
  it.each<[string, Record<string, unknown>, string, RegExp]>([
    ["absent", { model: "x" }, "messages", /must be an array.*missing/],
    ["null", { messages: null }, "messages", /must be an array.*null/],
    ["a text", { messages: SECRET }, "messages", /must be an array.*string/],
    ["empty", { messages: [] }, "messages", /must not be empty.*empty list/],
    ["holding a text", says(SECRET), "messages[0]", /must be an object.*string/],
    ["holding null", says(null), "messages[0]", /must be an object.*null/],
    ["without a role", says({ content: SECRET }), "messages[0].role", /missing/],
    ["with an unknown role", says({ role: SECRET, content: "x" }), "messages[0].role", /string/],
    ["with a number as role", says({ role: 5, content: "x" }), "messages[0].role", /whole number/],
    [
      "without content",
      says({ role: "user" }),
      "messages[0].content",
      /must be a string or an array.*missing/,
    ],
    ["with null content of a user", says({ role: "user", content: null }), "messages[0].content", /null/],
    ["with a number as content", says({ role: "user", content: 5 }), "messages[0].content", /whole number/],
    [
      "with an object as content",
      says({ role: "user", content: { SECRET } }),
      "messages[0].content",
      /object/,
    ],
    [
      "with calls that are no list",
      says({ role: "assistant", tool_calls: SECRET }),
      "messages[0].tool_calls",
      /array/,
    ],
    [
      "with a call that is none",
      says({ role: "assistant", tool_calls: [SECRET] }),
      "messages[0].tool_calls[0]",
      /object/,
    ],
  ])("%s are refused by path", (_, body, param, message) => {
    const refused = refusal(body);
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
    expect(refused.message).toContain(param);
  });

  it("name the one that is wrong, not the first", () => {
    expect(
      refusal({
        messages: [
          { role: "system", content: "x" },
          { role: "user", content: "x" },
          { role: "user", content: 1 },
        ],
      }).param,
    ).toBe("messages[2].content");
  });

  it("of too great a number are refused with the number", () => {
    const messages = Array.from({ length: MAX_MESSAGES + 1 }, () => ({ role: "user", content: "x" }));
    expect(refusal({ messages }).message).toContain(String(MAX_MESSAGES));
    expect(checkChatBody({ messages: messages.slice(1) }).ok).toBe(true);
  });
});

describe("parts of a message", () => {
  it.each<[string, Record<string, unknown>, string]>([
    ["a text part without text", part({ type: "text" }), "messages[0].content[0].text"],
    ["an unknown type", part({ type: SECRET, text: "x" }), "messages[0].content[0].type"],
    ["a file", part({ type: "file", file: { file_data: SECRET } }), "messages[0].content[0].type"],
    ["a video", part({ type: "video_url", video_url: { url: SECRET } }), "messages[0].content[0].type"],
    ["no type", part({ text: SECRET }), "messages[0].content[0].type"],
    ["a text among parts", part(SECRET), "messages[0].content[0]"],
    [
      "an image without a URL",
      part({ type: "image_url", image_url: {} }),
      "messages[0].content[0].image_url.url",
    ],
    [
      "an image URL that is no object",
      part({ type: "image_url", image_url: SECRET }),
      "messages[0].content[0].image_url",
    ],
    [
      "audio without data",
      part({ type: "input_audio", input_audio: { format: "wav" } }),
      "messages[0].content[0].input_audio.data",
    ],
  ])("%s is refused by path", (_, body, param) => {
    expect(refusal(body).param).toBe(param);
  });

  it.each([
    "http://10.0.0.1/",
    "https://x.example/a.png",
    "file:///etc/passwd",
    " data:x",
    "",
    "//x/y",
    "gopher://x",
  ])("an image at '%s' is refused: nothing is fetched from elsewhere", (url) => {
    const refused = refusal(part({ type: "image_url", image_url: { url } }));
    expect(refused.param).toBe("messages[0].content[0].image_url.url");
    expect(refused.message).toContain("data:");
    if (url !== "") expect(refused.message).not.toContain(url);
  });

  it("that are no parts at all are refused with what is wrong about them", () => {
    expect(refusal(says({ role: "user", content: [] })).message).toMatch(/empty/);
    expect(refusal(says({ role: "user", content: [] })).message).toMatch(/must not be empty/);
  });

  it.each<[string, unknown]>([
    ["a text", { type: "text", text: "x" }],
    [
      "an image in a data: URL",
      { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
    ],
    ["audio", { type: "input_audio", input_audio: { data: "AA==", format: "wav" } }],
    ["a part with fields we don't know", { type: "text", text: "x", cache_control: { type: "ephemeral" } }],
  ])("%s passes", (_, content) => {
    expect(checkChatBody(part(content)).ok).toBe(true);
  });
});

describe("fields of a wrong type are refused by name, with what was expected and what came", () => {
  it.each<[string, unknown, RegExp]>([
    ["model", 5, /must be a string; it is a whole number/],
    ["agent_type", ["x"], /must be a string; it is a list of 1/],
    ["format", SECRET, /must be one of "openai", "mediczy"; it is another string/],
    ["stream", "true", /must be a boolean; it is another string/],
    ["stream", 1, /must be a boolean; it is a whole number/],
    ["fallback", "no", /must be a boolean/],
    ["stream_options", true, /must be an object; it is a boolean/],
    ["max_tokens", "100", /must be a (whole )?number; it is another string/],
    ["max_tokens", 1.5, /must be a whole number; it is a fraction/],
    ["max_completion_tokens", {}, /must be a (whole )?number; it is an object/],
    ["n_predict", [], /must be a (whole )?number; it is an empty list/],
    ["temperature", "0.7", /must be a number; it is another string/],
    ["top_p", true, /must be a number; it is a boolean/],
    ["top_k", 1.5, /must be a whole number/],
    ["seed", "1", /must be a (whole )?number/],
    ["stop", 5, /must be a string or an array; it is a whole number/],
    ["logprobs", 5, /must be a boolean/],
    ["tools", {}, /must be an array; it is an object/],
    ["tool_choice", 5, /must be a string or an object/],
    ["response_format", "json", /must be an object/],
    ["json_schema", SECRET, /must be an object/],
    ["grammar", 5, /must be a string/],
    ["logit_bias", SECRET, /must be an object or an array/],
    ["user", 5, /must be a string/],
    ["metadata", SECRET, /must be an object/],
    ["model_port", true, /must be a (whole )?number or a string; it is a boolean/],
    ["model_port", 80.5, /whole number.*fraction/],
  ])("%s", (name, value, message) => {
    const refused = refusal(chat({ [name]: value }));
    expect(refused.param).toBe(name);
    expect(refused.message).toMatch(message);
    expect(refused.message.startsWith(name)).toBe(true);
  });

  it("entries of lists by their place", () => {
    expect(refusal(chat({ stop: ["a", 5] })).param).toBe("stop[1]");
    expect(refusal(chat({ tools: [{}, SECRET] })).param).toBe("tools[1]");
    expect(refusal(chat({ response_format: {} })).param).toBe("response_format.type");
  });
});

describe("numbers out of bounds are refused with the bound", () => {
  it.each<[string, unknown, string]>([
    ["n", 0, "at least 1"],
    ["n", -3, "at least 1"],
    ["top_logprobs", MAX_LOGPROBS + 1, `at most ${MAX_LOGPROBS}`],
    ["top_logprobs", -1, "at least 0"],
    ["n_probs", MAX_LOGPROBS + 1, `at most ${MAX_LOGPROBS}`],
    ["n_probs", -1, "at least 0"],
    ["stop", Array.from({ length: MAX_STOP_STRINGS + 1 }, () => SECRET), `at most ${MAX_STOP_STRINGS}`],
    ["model_port", 65_536, "65535"],
    ["model_port", 0, "1"],
    ["model_port", -8080, "1"],
  ])("%s", (name, value, bound) => {
    const refused = refusal(chat({ [name]: value }));
    expect(refused.param).toBe(name);
    expect(refused.message).toContain(bound);
  });

  it("and at the bound they pass", () => {
    const stop = Array.from({ length: MAX_STOP_STRINGS }, (_, at) => `stop${at}`);
    for (const field of [
      { n: 1 },
      { top_logprobs: MAX_LOGPROBS },
      { n_probs: 0 },
      { stop },
      { model_port: 65_535 },
    ])
      expect(checkChatBody(chat(field)).ok).toBe(true);
  });

  it.each(["", "http", "8080x", "-8080", "8080.5", " 8080", "808080", "0x1f90"])(
    "a port spelled '%s' is no port",
    (port) => {
      expect(refusal(chat({ model_port: port })).param).toBe("model_port");
    },
  );
});

describe("fields that reach past one call", () => {
  it.each([
    "lora",
    "n_cache_reuse",
    "n_keep",
    "n_discard",
    "verbose",
    "return_tokens",
    "chat_format",
    "chat_parser",
    "sse_ping_interval",
  ])("%s is refused by its name, whatever its value", (name) => {
    for (const value of [SECRET, 0, false, [], { SECRET }]) {
      const refused = refusal(chat({ [name]: value }));
      expect(refused.param).toBe(name);
      expect(refused.message).toContain(`"${name}"`);
    }
  });

  it.each(["speculative.n_max", "speculative.p_min", "speculative.type"])("%s is refused", (name) => {
    expect(refusal(chat({ [name]: 1 })).message).toContain("speculative");
  });

  it("set to null are absent", () => {
    expect(checkChatBody(chat({ lora: null, verbose: null, "speculative.n_max": null })).ok).toBe(true);
  });
});

describe("odd bodies that are right pass", () => {
  it.each<[string, Record<string, unknown>]>([
    ["every field null", Object.fromEntries(NULLABLE().map((name) => [name, null]))],
    [
      "fields we don't know",
      { my_own: { deep: [1, { x: null }] }, mirostat: 2, cache_prompt: true, id_slot: 3 },
    ],
    [
      "max_tokens of nothing, less than nothing and more than there is",
      { max_tokens: 0, n_predict: -1, max_completion_tokens: 1_000_000 },
    ],
    ["a text as stop, and a list without any", { stop: "x" }],
    ["an empty list of stops", { stop: [] }],
    ["an empty agent type and an empty user", { agent_type: "", user: "" }],
    ["numbers at odd ends", { temperature: -0, top_p: 5e-324, seed: -1, top_k: 0 }],
    [
      "tools with schemas",
      {
        tools: [
          {
            type: "function",
            function: {
              name: "f",
              parameters: {
                type: "object",
                properties: { a: { anyOf: [{ type: "string" }, { type: "null" }] } },
              },
            },
          },
        ],
        tool_choice: { type: "function", function: { name: "f" } },
      },
    ],
    [
      "logit_bias as a list of pairs",
      {
        logit_bias: [
          [15, -1],
          ["x", false],
        ],
      },
    ],
    [
      "keys that JavaScript knows",
      JSON.parse('{"__proto__":{"n":"x"},"constructor":1}') as Record<string, unknown>,
    ],
  ])("%s", (_, fields) => {
    expect(checkChatBody({ ...chat(), ...fields }).ok).toBe(true);
  });

  it.each<[string, unknown]>([
    ["of a developer", { role: "developer", content: "x" }],
    ["of a tool", { role: "tool", tool_call_id: "1", content: "x" }],
    [
      "of an assistant that calls and says nothing",
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
    ],
    ["of an assistant without content", { role: "assistant", tool_calls: [{}] }],
    ["with an empty text", { role: "user", content: "" }],
    ["with fields we don't know", { role: "user", name: "x", content: "x", extra: {} }],
  ])("a message %s", (_, message) => {
    expect(checkChatBody(says(message)).ok).toBe(true);
  });
});

function NULLABLE(): string[] {
  const routing = [
    "model",
    "agent_type",
    "model_port",
    "format",
    "fallback",
    "stream",
    "stream_options",
    "n",
  ];
  const lengths = ["max_tokens", "max_completion_tokens", "n_predict", "stop", "seed", "ignore_eos"];
  const sampling = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
  ];
  const shape = [
    "logprobs",
    "top_logprobs",
    "n_probs",
    "tools",
    "tool_choice",
    "response_format",
    "json_schema",
  ];
  const names = ["user", "session_id", "prompt_cache_key", "safety_identifier", "metadata", "grammar"];
  return [...routing, ...lengths, ...sampling, ...shape, ...names];
}
