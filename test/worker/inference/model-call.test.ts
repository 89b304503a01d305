import { describe, expect, it } from "vitest";
import { ERRORS, type Refusal } from "../../../shared/errors.ts";
import { readCall, type ModelCall } from "../../../worker/inference/model-call.ts";
import { seeded, type Random } from "../support/random.ts";
import { chat } from "../support/edge.ts";

const bytesOf = (body: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(body));

function read(fields: Readonly<Record<string, unknown>>): ModelCall {
  const call = readCall("chat", bytesOf(chat(fields)));
  if (!call.ok) throw new Error(call.refusal.message);
  return call.value;
}

describe("the format of the answer", () => {
  it.each<[object, string]>([
    [{}, "mediczy"],
    [{ model: null }, "mediczy"],
    [{ agent_type: "Clinical" }, "mediczy"],
    [{ agent_type: "", model: "x" }, "mediczy"],
    [{ model_port: 8085 }, "mediczy"],
    [{ model: "x" }, "openai"],
    [{ model: "x", agent_type: null, model_port: null }, "openai"],
    [{ model: "x", agent_type: "Clinical" }, "mediczy"],
    [{ model: "x", model_port: "8085" }, "mediczy"],
    [{ model: "x", format: "mediczy" }, "mediczy"],
    [{ agent_type: "Clinical", format: "openai" }, "openai"],
    [{ format: null, model: "x" }, "openai"],
  ])("for %j is %s", (fields, format) => {
    expect(read({ ...fields }).format).toBe(format);
  });
});

describe("a call", () => {
  it("has the defaults for a minimal body", () => {
    expect(read({})).toEqual({
      dialect: "chat",
      format: "mediczy",
      modelPort: null,
      agentType: null,
      model: null,
      stream: false,
      mayFallBack: true,
      choices: 1,
      choicesParam: "n",
      suspects: [],
      maxTokens: null,
      continuable: true,
      needs: [{ capability: "chat", param: undefined }],
      scopeName: null,
    });
  });

  it("is the same if every field is null", () => {
    const fields = [
      "model_port",
      "agent_type",
      "model",
      "stream",
      "fallback",
      "n",
      "max_tokens",
      "user",
      "metadata",
    ];
    const more = ["format", "tools", "response_format", "logprobs", "json_schema", "grammar"];
    expect(read(Object.fromEntries([...fields, ...more].map((name) => [name, null])))).toEqual(read({}));
  });

  it.each<[unknown, number]>([
    [8085, 8085],
    ["8085", 8085],
    ["08085", 8085],
    [8085.0, 8085],
  ])("with model_port %j has the port %i", (port, expected) => {
    expect(read({ model_port: port }).modelPort).toBe(expected);
  });

  it.each(["0", "65536", "99999"])("is refused for a number that is no port: %s", (port) => {
    const call = readCall("chat", bytesOf(chat({ model_port: port })));
    expect(call).toMatchObject({ ok: false, refusal: { code: "invalid_request", param: "model_port" } });
  });
});

describe("the maximum number of tokens", () => {
  it.each<[object, number | null]>([
    [{ max_tokens: 5 }, 5],
    [{ max_completion_tokens: 6 }, 6],
    [{ n_predict: 7 }, 7],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 6],
    [{ max_tokens: 5, max_completion_tokens: 6, n_predict: 7 }, 7],
    [{ max_tokens: 5, max_completion_tokens: null, n_predict: null }, 5],
    [{ max_tokens: 0 }, null],
    [{ max_tokens: -1 }, null],
    [{ n_predict: -1, max_tokens: 5 }, null],
    [{}, null],
  ])("of %j is %j", (fields, maxTokens) => {
    expect(read({ ...fields }).maxTokens).toBe(maxTokens);
  });
});

describe("an answer", () => {
  it.each<[string, object]>([
    ["has several choices", { n: 2 }],
    ["has tools", { tools: [{ type: "function", function: { name: "f" } }] }],
    ["has a schema", { response_format: { type: "json_schema" } }],
    ["is JSON", { response_format: { type: "json_object" } }],
    ["has llama-server's schema", { json_schema: {} }],
    ["has a grammar", { grammar: "root ::= [a-z]+" }],
    ["has log-probabilities", { logprobs: true }],
    ["has top log-probabilities", { top_logprobs: 1 }],
    ["has llama-server's probabilities", { n_probs: 1 }],
  ])("can't be continued if it %s", (_, fields) => {
    expect(read({ ...fields }).continuable).toBe(false);
  });

  it("can be continued if these fields are empty or off", () => {
    const off = {
      tools: [],
      response_format: { type: "text" },
      logprobs: false,
      top_logprobs: 0,
      n_probs: 0,
      n: 1,
    };
    expect(read(off).continuable).toBe(true);
  });
});

describe("the scope's name", () => {
  const names = {
    prompt_cache_key: "p",
    session_id: "s",
    user: "u",
    safety_identifier: "i",
    metadata: { user_id: "m" },
  };

  it.each<[object, string | null]>([
    [names, "p"],
    [{ ...names, prompt_cache_key: null }, "s"],
    [{ ...names, prompt_cache_key: "", session_id: "" }, "u"],
    [{ safety_identifier: "i", metadata: { user_id: "m" } }, "i"],
    [{ metadata: { user_id: "m" } }, "m"],
    [{ metadata: { user_id: 5 } }, null],
    [{ metadata: { user_id: "" } }, null],
    [{ user: "" }, null],
  ])("of %j is %j, the first one that is present", (fields, scopeName) => {
    expect(read({ ...fields }).scopeName).toBe(scopeName);
  });
});

describe("the required capabilities", () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };
  const audio = { type: "input_audio", input_audio: { data: "AA==", format: "wav" } };
  const text = { type: "text", text: "x" };
  const chats = { capability: "chat", param: undefined };

  it.each<[string, unknown[], object[]]>([
    ["are chat only for text", [{ role: "user", content: [text, text] }], []],
    [
      "include vision if any message has an image",
      [
        { role: "user", content: "x" },
        { role: "user", content: [text, image, image] },
      ],
      [{ capability: "vision", param: "messages[1].content[1]" }],
    ],
    [
      "include audio if a message has audio",
      [{ role: "user", content: [audio] }],
      [{ capability: "audio", param: "messages[0].content[0]" }],
    ],
    [
      "include both if messages have both",
      [{ role: "user", content: [image, audio] }],
      [
        { capability: "vision", param: "messages[0].content[0]" },
        { capability: "audio", param: "messages[0].content[1]" },
      ],
    ],
  ])("%s", (_, messages, more) => {
    expect(read({ messages }).needs).toEqual([chats, ...more]);
  });
});

const MARKER = "Marker of Jane Doe";

describe("a random body", () => {
  it("is a call or a 4xx refusal that repeats nothing of it", () => {
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = seeded(seed);
      const body = mutated(random);
      const result = readCall("chat", new TextEncoder().encode(body));
      if (result.ok) expect(result.value.dialect).toBe("chat");
      else expectHarmless(result.refusal, `seed ${seed}`);
    }
  });

  it("with random bytes is a call or a 4xx refusal too", () => {
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = seeded(seed);
      const bytes = bytesOf(
        chat({ user: MARKER, tools: [{ type: "function" }], model_port: "8085", stop: ["é"] }),
      );
      for (let change = random.integer(1, 6); change > 0; change -= 1)
        bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
      const cut = random.chance(0.3) ? bytes.slice(0, random.integer(0, bytes.length)) : bytes;
      const result = readCall("chat", cut);
      if (!result.ok) expectHarmless(result.refusal, `seed ${seed}`);
    }
  });

  it("with a name as a key is refused without that name", () => {
    for (const name of ["JaneDoe", "jane.doe", "Jane-Doe_1970"]) {
      for (const body of [
        `{"${name}":1e400}`,
        `{"metadata":{"${name}":1e400}}`,
        `{"${name}":{"a":"\\ud800"}}`,
      ]) {
        const result = readCall("chat", new TextEncoder().encode(body));
        expect(JSON.stringify(result)).not.toContain(name);
      }
    }
  });
});

function expectHarmless(refusal: Refusal, seed: string): void {
  expect(Math.floor(ERRORS[refusal.code].status / 100), `${seed}: ${refusal.code}`).toBe(4);
  expect(JSON.stringify(refusal), seed).not.toContain(MARKER);
  expect(refusal.message.length, `${seed}: ${refusal.message}`).toBeLessThan(400);
}

/** A chat body with random values in some fields, and the marker in one of them. */
function mutated(random: Random): string {
  const known = [
    "messages",
    "model",
    "agent_type",
    "model_port",
    "format",
    "stream",
    "n",
    "max_tokens",
    "stop",
  ];
  const more = [
    "tools",
    "response_format",
    "metadata",
    "lora",
    "verbose",
    "speculative.x",
    "logit_bias",
    "user",
  ];
  const body: Record<string, unknown> = chat();
  for (let change = random.integer(1, 4); change > 0; change -= 1)
    body[random.chance(0.1) ? MARKER : random.pick([...known, ...more])] = anything(random, 0);
  if (random.chance(0.4))
    body["messages"] = [
      { role: "user", content: "x" },
      { role: anything(random, 2), content: anything(random, 1) },
    ];
  if (random.chance(0.4))
    body["messages"] = [{ role: "user", content: [partOf(random), anything(random, 2)] }];
  const text = JSON.stringify(body);
  return random.chance(0.1) ? text.replace(MARKER, `${MARKER}\\ud800`) : text;
}

function partOf(random: Random): unknown {
  const type = random.pick(["text", "image_url", "input_audio", MARKER]);
  return { type, [random.pick(["text", "image_url", "input_audio", MARKER])]: anything(random, 1) };
}

function anything(random: Random, depth: number): unknown {
  const plain = [
    MARKER,
    "",
    null,
    true,
    0,
    -1,
    1.5,
    1e21,
    `http://${MARKER}`,
    { url: MARKER },
    "8085",
    "user",
  ];
  if (depth > 3 || random.chance(0.6)) return random.pick(plain);
  if (random.chance(0.5))
    return Array.from({ length: random.integer(0, 20) }, () => anything(random, depth + 1));
  const keys = ["type", "text", "url", "role", "content", "user_id", MARKER];
  return Object.fromEntries(
    Array.from({ length: random.integer(0, 3) }, () => [random.pick(keys), anything(random, depth + 1)]),
  );
}
