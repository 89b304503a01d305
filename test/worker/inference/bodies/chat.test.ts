import { describe, expect, it } from "vitest";
import { MAX_LOGPROBS, MAX_MESSAGES, MAX_STOP_STRINGS } from "../../../../shared/limits.ts";
import type { Refusal } from "../../../../shared/errors.ts";
import { checkBody } from "../../../../worker/inference/check-body.ts";
import { chat } from "../../support/edge.ts";

const SECRET = "a word of the patient's";

function refusal(body: Readonly<Record<string, unknown>>): Refusal {
  const checked = checkBody("chat", body);
  if (checked.ok) throw new Error("it was not refused");
  expect(checked.refusal.code).toBe("invalid_request");
  expect(JSON.stringify(checked.refusal)).not.toContain(SECRET);
  return checked.refusal;
}

const withMessage = (message: unknown): Record<string, unknown> => ({ messages: [message] });
const part = (content: unknown): Record<string, unknown> => withMessage({ role: "user", content: [content] });

const ROLES = /^messages\[0\]\.role: must be one of system, developer, user, assistant, tool(; got 5)?\.$/;

describe("messages", () => {
  it.each<[string, Record<string, unknown>, string, RegExp]>([
    ["absent", { model: "x" }, "messages", /: is missing\.$/],
    ["null", { messages: null }, "messages", /: must be an array; got null\.$/],
    ["a text", { messages: SECRET }, "messages", /: must be an array; got a string\.$/],
    ["empty", { messages: [] }, "messages", /: must not be empty\.$/],
    ["with a text as message", withMessage(SECRET), "messages[0]", /: must be an object; got a string\.$/],
    ["with null as message", withMessage(null), "messages[0]", /: must be an object; got null\.$/],
    ["without a role", withMessage({ content: SECRET }), "messages[0].role", /: is missing\.$/],
    ["with an unknown role", withMessage({ role: SECRET, content: "x" }), "messages[0].role", ROLES],
    ["with a number as role", withMessage({ role: 5, content: "x" }), "messages[0].role", ROLES],
    ["without content", withMessage({ role: "user" }), "messages[0].content", /: is missing\.$/],
    [
      "with null content of a user",
      withMessage({ role: "user", content: null }),
      "messages[0].content",
      /: must be a string or an array; got null\.$/,
    ],
    [
      "with a number as content",
      withMessage({ role: "user", content: 5 }),
      "messages[0].content",
      /: must be a string or an array; got 5\.$/,
    ],
    [
      "with an object as content",
      withMessage({ role: "user", content: { SECRET } }),
      "messages[0].content",
      /: must be a string or an array; got an object\.$/,
    ],
    [
      "with calls that are not an array",
      withMessage({ role: "assistant", tool_calls: SECRET }),
      "messages[0].tool_calls",
      /: must be an array; got a string\.$/,
    ],
    [
      "with a call that is not an object",
      withMessage({ role: "assistant", tool_calls: [SECRET] }),
      "messages[0].tool_calls[0]",
      /: must be an object; got a string\.$/,
    ],
  ])("%s are refused with the path", (_, body, param, message) => {
    const refused = refusal(body);
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
    expect(refused.message).toContain(param);
  });

  it("are refused with the wrong message, not the first", () => {
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

  it("are refused with the limit if there are too many", () => {
    const messages = Array.from({ length: MAX_MESSAGES + 1 }, () => ({ role: "user", content: "x" }));
    expect(refusal({ messages }).message).toContain(String(MAX_MESSAGES));
    expect(checkBody("chat", { messages: messages.slice(1) }).ok).toBe(true);
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
  ])("%s is refused with its path", (_, body, param) => {
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
  ])("an image at '%s' is refused: nothing is fetched from other servers", (url) => {
    const refused = refusal(part({ type: "image_url", image_url: { url } }));
    expect(refused.param).toBe("messages[0].content[0].image_url.url");
    expect(refused.message).toContain("data:");
    if (url !== "") expect(refused.message).not.toContain(url);
  });

  it("must not be empty", () => {
    expect(refusal(withMessage({ role: "user", content: [] })).message).toMatch(/must not be empty/);
  });

  it.each<[string, unknown]>([
    ["a text", { type: "text", text: "x" }],
    [
      "an image in a data: URL",
      { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
    ],
    ["audio", { type: "input_audio", input_audio: { data: "AA==", format: "wav" } }],
    ["a part with unknown fields", { type: "text", text: "x", cache_control: { type: "ephemeral" } }],
  ])("%s passes", (_, content) => {
    expect(checkBody("chat", part(content)).ok).toBe(true);
  });
});

describe("fields of a wrong type are refused with the expected and the actual type", () => {
  it.each<[string, unknown, RegExp]>([
    ["model", 5, /must be a string; got 5\.$/],
    ["agent_type", ["x"], /must be a string; got an array of 1\.$/],
    ["format", SECRET, /must be one of openai, mediczy\.$/],
    ["stream", "true", /must be a boolean; got a string\.$/],
    ["stream", 1, /must be a boolean; got 1\.$/],
    ["fallback", "no", /must be a boolean/],
    ["stream_options", true, /must be an object; got true\.$/],
    ["max_tokens", "100", /must be (a number|an integer); got a string\.$/],
    ["max_tokens", 1.5, /must be an integer; got 1\.5\.$/],
    ["max_completion_tokens", {}, /must be (a number|an integer); got an object\.$/],
    ["n_predict", [], /must be (a number|an integer); got an empty array\.$/],
    ["temperature", "0.7", /must be a number; got a string\.$/],
    ["top_p", true, /must be a number; got true\.$/],
    ["top_k", 1.5, /must be an integer/],
    ["seed", "1", /must be (a number|an integer)/],
    ["stop", 5, /must be a string or an array; got 5\.$/],
    ["logprobs", 5, /must be a boolean/],
    ["tools", {}, /must be an array; got an object\.$/],
    ["tool_choice", 5, /must be none, auto, required, or an object/],
    ["response_format", "json", /must be an object/],
    ["json_schema", SECRET, /must be an object/],
    ["grammar", 5, /must be a string/],
    ["logit_bias", SECRET, /must be an object or an array/],
    ["user", 5, /must be a string/],
    ["metadata", SECRET, /must be an object/],
    ["model_port", true, /must be (a number|an integer) or a string; got true\.$/],
    ["model_port", 80.5, /must be an integer or a string; got 80\.5\.$/],
  ])("%s", (name, value, message) => {
    const refused = refusal(chat({ [name]: value }));
    expect(refused.param).toBe(name);
    expect(refused.message).toMatch(message);
    expect(refused.message.startsWith(name)).toBe(true);
  });

  it("entries of arrays with their index", () => {
    expect(refusal(chat({ stop: ["a", 5] })).param).toBe("stop[1]");
    const tool = { type: "function", function: { name: "f" } };
    expect(refusal(chat({ tools: [tool, SECRET] })).param).toBe("tools[1]");
    expect(refusal(chat({ tools: [tool, { type: "web_search" }] })).param).toBe("tools[1].type");
    expect(refusal(chat({ tools: [{ type: "function", function: {} }] })).param).toBe(
      "tools[0].function.name",
    );
    expect(refusal(chat({ response_format: {} })).param).toBe("response_format.type");
  });
});

describe("numbers out of range are refused with the limit and the number", () => {
  it.each<[string, unknown, string]>([
    ["n", 0, "n: must be 1 or more; got 0."],
    ["n", -3, "1 or more; got -3."],
    ["top_logprobs", MAX_LOGPROBS + 1, `from 0 to ${MAX_LOGPROBS}; got`],
    ["top_logprobs", -1, "from 0 to 20; got -1"],
    ["n_probs", MAX_LOGPROBS + 1, `from 0 to ${MAX_LOGPROBS}; got`],
    ["n_probs", -1, "from 0 to 20; got -1"],
    ["stop", Array.from({ length: MAX_STOP_STRINGS + 1 }, () => SECRET), `at most ${MAX_STOP_STRINGS}`],
    ["model_port", 65_536, "a port from 1 to 65535; got 65536."],
    ["temperature", -1, "temperature: must be from 0 to 5; got -1."],
    ["top_p", 1.5, "from 0 to 1; got 1.5."],
    ["presence_penalty", 3, "from -2 to 2; got 3."],
    ["top_k", -2, "-1 or more; got -2."],
    ["model_port", 0, "1"],
    ["model_port", -8080, "1"],
  ])("%s", (name, value, message) => {
    const refused = refusal(chat({ [name]: value }));
    expect(refused.param).toBe(name);
    expect(refused.message).toContain(message);
  });

  it("and at the limit they pass", () => {
    const stop = Array.from({ length: MAX_STOP_STRINGS }, (_, at) => `stop${at}`);
    for (const field of [
      { n: 1 },
      { top_logprobs: MAX_LOGPROBS },
      { n_probs: 0 },
      { stop },
      { model_port: 65_535 },
    ])
      expect(checkBody("chat", chat(field)).ok).toBe(true);
  });

  it.each(["", "http", "8080x", "-8080", "8080.5", " 8080", "808080", "0x1f90"])(
    "'%s' is not accepted as a port",
    (port) => {
      expect(refusal(chat({ model_port: port })).param).toBe("model_port");
    },
  );
});

describe("fields that affect more than one call", () => {
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
  ])("%s is refused with any value", (name) => {
    for (const value of [SECRET, 0, false, [], { SECRET }]) {
      const refused = refusal(chat({ [name]: value }));
      expect(refused.param).toBe(name);
      expect(refused.message).toContain(`${name}: `);
    }
  });

  it.each(["speculative.n_max", "speculative.p_min", "speculative.type"])("%s is refused", (name) => {
    expect(refusal(chat({ [name]: 1 })).message).toContain("speculative");
  });

  it("set to null are absent", () => {
    expect(checkBody("chat", chat({ lora: null, verbose: null, "speculative.n_max": null })).ok).toBe(true);
  });
});

describe("unusual bodies that are valid pass", () => {
  it.each<[string, Record<string, unknown>]>([
    ["every field null", Object.fromEntries(NULLABLE().map((name) => [name, null]))],
    ["unknown fields", { my_own: { deep: [1, { x: null }] }, mirostat: 2, cache_prompt: true, id_slot: 3 }],
    [
      "max_tokens of zero, below zero and above every limit",
      { max_tokens: 0, n_predict: -1, max_completion_tokens: 1_000_000 },
    ],
    ["a text as stop", { stop: "x" }],
    ["an empty array of stops", { stop: [] }],
    ["an empty agent type and an empty user", { agent_type: "", user: "" }],
    ["extreme numbers", { temperature: -0, top_p: 5e-324, seed: -1, top_k: 0 }],
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
      "logit_bias as an array of pairs",
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
    expect(checkBody("chat", { ...chat(), ...fields }).ok).toBe(true);
  });

  it.each<[string, unknown]>([
    ["of a developer", { role: "developer", content: "x" }],
    ["of a tool", { role: "tool", tool_call_id: "1", content: "x" }],
    [
      "of an assistant with calls and no text",
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
    ],
    ["of an assistant without content", { role: "assistant", tool_calls: [{}] }],
    ["with an empty text", { role: "user", content: "" }],
    ["with unknown fields", { role: "user", name: "x", content: "x", extra: {} }],
  ])("a message %s", (_, message) => {
    expect(checkBody("chat", withMessage(message)).ok).toBe(true);
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
