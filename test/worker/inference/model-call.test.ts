// A body, read once, as the call it asks for.
import { describe, expect, it } from "vitest";
import { ERRORS, type Refusal } from "../../../shared/errors.ts";
import { readChatCall, type ModelCall } from "../../../worker/inference/model-call.ts";
import { seeded, type Random } from "../support/random.ts";
import { chat } from "../support/edge.ts";

const bytesOf = (body: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(body));

function read(fields: Readonly<Record<string, unknown>>): ModelCall {
  const call = readChatCall(bytesOf(chat(fields)));
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

describe("what is read", () => {
  it("of the plainest body is nothing but the defaults", () => {
    expect(read({})).toEqual({
      dialect: "chat",
      format: "mediczy",
      modelPort: null,
      agentType: null,
      model: null,
      stream: false,
      mayFallBack: true,
      choices: 1,
      maxTokens: null,
      continuable: true,
      needs: [{ capability: "chat", param: undefined }],
      scopeName: null,
    });
  });

  it("is the same of a body whose every field is null", () => {
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
  ])("of model_port %j is %i", (port, expected) => {
    expect(read({ model_port: port }).modelPort).toBe(expected);
  });

  it.each(["0", "65536", "99999"])("a port in digits beyond any port is refused: %s", (port) => {
    const call = readChatCall(bytesOf(chat({ model_port: port })));
    expect(call).toMatchObject({ ok: false, refusal: { code: "invalid_request", param: "model_port" } });
  });
});

describe("the cap on the answer", () => {
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

describe("an answer that another server could finish", () => {
  it.each<[string, object]>([
    ["has several choices", { n: 2 }],
    ["has tools", { tools: [{}] }],
    ["has a schema", { response_format: { type: "json_schema" } }],
    ["is JSON", { response_format: { type: "json_object" } }],
    ["has llama-server's schema", { json_schema: {} }],
    ["has a grammar", { grammar: "root ::= [a-z]+" }],
    ["has log-probabilities", { logprobs: true }],
    ["has top log-probabilities", { top_logprobs: 1 }],
    ["has llama-server's probabilities", { n_probs: 1 }],
  ])("is none that %s", (_, fields) => {
    expect(read({ ...fields }).continuable).toBe(false);
  });

  it("is one whose fields of that kind are empty or off", () => {
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
  ])("of %j is %j: the first there is", (fields, scopeName) => {
    expect(read({ ...fields }).scopeName).toBe(scopeName);
  });
});

describe("what the server must be able to do", () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };
  const audio = { type: "input_audio", input_audio: { data: "AA==", format: "wav" } };
  const text = { type: "text", text: "x" };
  const chats = { capability: "chat", param: undefined };

  it.each<[string, unknown[], object[]]>([
    ["is to chat, where all is text", [{ role: "user", content: [text, text] }], []],
    [
      "is to see, where a message holds an image, wherever it stands",
      [
        { role: "user", content: "x" },
        { role: "user", content: [text, image, image] },
      ],
      [{ capability: "vision", param: "messages[1].content[1]" }],
    ],
    [
      "is to hear, where a message holds audio",
      [{ role: "user", content: [audio] }],
      [{ capability: "audio", param: "messages[0].content[0]" }],
    ],
    [
      "is both, where messages hold both",
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

describe("whatever the body", () => {
  it("it is a call or one refusal of the 400s, and nothing of it is shown", () => {
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = seeded(seed);
      const body = mutated(random);
      const result = readChatCall(new TextEncoder().encode(body));
      if (result.ok) expect(result.value.dialect).toBe("chat");
      else expectHarmless(result.refusal, `seed ${seed}`);
    }
  });

  it("bytes changed at random are a call or one refusal of the 400s, too", () => {
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = seeded(seed);
      const bytes = bytesOf(
        chat({ user: MARKER, tools: [{ type: "function" }], model_port: "8085", stop: ["é"] }),
      );
      for (let change = random.whole(1, 6); change > 0; change -= 1)
        bytes[random.whole(0, bytes.length - 1)] = random.whole(0, 255);
      const cut = random.chance(0.3) ? bytes.slice(0, random.whole(0, bytes.length)) : bytes;
      const result = readChatCall(cut);
      if (!result.ok) expectHarmless(result.refusal, `seed ${seed}`);
    }
  });

  it("a name that a client uses as a key isn't shown back", () => {
    for (const name of ["JaneDoe", "jane.doe", "Jane-Doe_1970"]) {
      for (const body of [
        `{"${name}":1e400}`,
        `{"metadata":{"${name}":1e400}}`,
        `{"${name}":{"a":"\\ud800"}}`,
      ]) {
        const result = readChatCall(new TextEncoder().encode(body));
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

/** A chat body of which some fields hold anything, and the marker is somewhere. */
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
  for (let change = random.whole(1, 4); change > 0; change -= 1)
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
    return Array.from({ length: random.whole(0, 20) }, () => anything(random, depth + 1));
  const keys = ["type", "text", "url", "role", "content", "user_id", MARKER];
  return Object.fromEntries(
    Array.from({ length: random.whole(0, 3) }, () => [random.pick(keys), anything(random, depth + 1)]),
  );
}
