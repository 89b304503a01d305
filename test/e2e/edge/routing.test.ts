// The routing table over the real edge, agent and servers: who answers, in which format, streamed and not.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import fleet from "../../../fleet.config.ts";
import {
  askReady as ask,
  CHEST_PAIN,
  errorOf,
  events,
  json,
  startReady,
  stateOf,
  type Stack,
} from "../support/ask.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

const servers = fleet.boxes.flatMap((box) => box.servers);
const byAgent = servers.flatMap((server) =>
  server.agents.map((agent) => ({ agent, port: server.port, file: server.file })),
);
const models = [...new Map(servers.toReversed().map((server) => [server.model, server])).values()];

interface Mediczy {
  id: string;
  object: string;
  created: number;
  model: string;
  choices: {
    index: number;
    text: string;
    message: { role: string; content: string };
    finish_reason: string;
  }[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
  isha: { port: number; box: string; agent_type: string; queue_ms: number; fallback_from: number | null };
}

describe("who answers", () => {
  test.each(byAgent)(
    "$agent is answered by port $port, whatever its letter case",
    async ({ agent, port, file }) => {
      for (const written of [agent, agent.toLowerCase(), agent.toUpperCase()]) {
        const answer = await ask(stack, { agent_type: written, max_tokens: 3, messages: CHEST_PAIN });
        expect(answer.headers.get("x-isha-port")).toBe(String(port));
        expect(json<Mediczy>(answer).model).toBe(file);
      }
    },
  );

  test.each(servers)(
    "model_port $port is that port, as a number or as digits, and wins over the agent type",
    async ({ port }) => {
      for (const written of [port, String(port)]) {
        const answer = await ask(stack, {
          model_port: written,
          agent_type: "Clinical",
          max_tokens: 3,
          messages: CHEST_PAIN,
        });
        expect(answer.headers.get("x-isha-port")).toBe(String(port));
      }
    },
  );

  test.each(models)("the model names $model and $file lead to its server", async ({ model, file, port }) => {
    for (const written of [model, file, model.toLowerCase()]) {
      const answer = await ask(stack, { model: written, max_tokens: 3, messages: CHEST_PAIN });
      expect(answer.headers.get("x-isha-port")).toBe(String(port));
    }
  });

  test.each(byAgent)("the model name $agent is the agent type", async ({ agent, port }) => {
    const answer = await ask(stack, { model: agent, max_tokens: 3, messages: CHEST_PAIN });
    expect(answer.headers.get("x-isha-port")).toBe(String(port));
  });

  test.each([
    {},
    { agent_type: "Nonsense" },
    { agent_type: "" },
    { agent_type: null, model_port: null, model: null },
  ])("%j is answered by the default server", async (named) => {
    const answer = await ask(stack, { ...named, max_tokens: 3, messages: CHEST_PAIN });
    expect(answer.headers.get("x-isha-port")).toBe(String(fleet.defaultPort));
  });

  test("an agent type wins over a model name", async () => {
    const answer = await ask(stack, {
      agent_type: "Claims",
      model: "Clinical",
      max_tokens: 3,
      messages: CHEST_PAIN,
    });
    expect(answer.headers.get("x-isha-port")).toBe("8084");
  });

  test("an unknown port is a 400 that lists the ports", async () => {
    const answer = await ask(stack, { model_port: 9999, messages: CHEST_PAIN });
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ code: "unknown_port", param: "model_port" });
    for (const { port } of servers) expect(errorOf(answer).message).toContain(String(port));
  });

  test("an unknown model is a 404 that lists models and agent types", async () => {
    const answer = await ask(stack, { model: "gpt-4o", messages: CHEST_PAIN });
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ code: "model_not_found", param: "model" });
    for (const { model, agents } of servers) {
      for (const name of [model, ...agents]) expect(errorOf(answer).message).toContain(name);
    }
  });
});

describe("in which format", () => {
  test("an agent type is answered in Mediczy's, whole", async () => {
    const answer = await ask(stack, { agent_type: "Clinical", messages: CHEST_PAIN });
    expect(answer.status).toBe(200);
    const body = json<Mediczy>(answer);
    expect(Object.keys(body)).toEqual(["id", "object", "created", "model", "choices", "usage", "isha"]);
    expect(body.id).toMatch(/^cmpl-/);
    expect(body.object).toBe("text_completion");
    const [choice] = body.choices;
    expect(choice).toMatchObject({
      index: 0,
      finish_reason: "stop",
      message: { role: "assistant", content: choice?.text },
    });
    expect(choice?.text).toContain("chest pain");
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens);
    expect(body.isha).toEqual({
      port: 8085,
      box: "box1",
      agent_type: "Clinical",
      queue_ms: expect.any(Number),
      fallback_from: null,
    });
  });

  test("streamed, it is the same object per event: text never null, usage and isha in the last, then [DONE]", async () => {
    const whole = json<Mediczy>(
      await ask(stack, { agent_type: "Clinical", temperature: 0, messages: CHEST_PAIN }),
    );
    const answer = await ask(stack, {
      agent_type: "Clinical",
      temperature: 0,
      stream: true,
      messages: CHEST_PAIN,
    });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    const all = events<Mediczy & { choices: { delta: object }[] }>(answer);
    expect(all.at(-1)).toBe("[DONE]");
    const objects = all.filter((event) => event !== "[DONE]");
    for (const event of objects) {
      expect(event).toMatchObject({ object: "text_completion", id: objects[0]?.id, model: whole.model });
      expect(typeof event.choices[0]?.text).toBe("string");
      expect(event.choices[0]?.delta).toBeTypeOf("object");
    }
    expect(objects.map((event) => event.choices[0]?.text).join("")).toBe(whole.choices[0]?.text);
    const last = objects.at(-1);
    expect(last?.choices[0]?.finish_reason).toBe("stop");
    expect(last?.usage).toEqual(whole.usage);
    expect(last?.isha).toMatchObject({ port: 8085, box: "box1", fallback_from: null });
    expect(objects.filter((event) => "usage" in event || "isha" in event)).toHaveLength(1);
  });

  test("a model name alone is answered in OpenAI's, as llama-server gives it", async () => {
    const answer = await ask(stack, { model: "Clinical", max_tokens: 4, messages: CHEST_PAIN });
    expect(json(answer)).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant" } }],
    });
    const streamed = events(
      await ask(stack, { model: "Clinical", max_tokens: 4, stream: true, messages: CHEST_PAIN }),
    );
    expect(streamed[0]).toMatchObject({
      object: "chat.completion.chunk",
      choices: [{ delta: { role: "assistant", content: null } }],
    });
    expect(streamed.at(-1)).toBe("[DONE]");
  });

  test.each([
    [{ agent_type: "Claims", format: "openai" }, "chat.completion"],
    [{ model: "Claims", format: "mediczy" }, "text_completion"],
    [{ format: "openai" }, "chat.completion"],
    [{}, "text_completion"],
    [{ model: "Claims", model_port: 8084 }, "text_completion"],
  ])("%j is answered with object %s", async (named, object) => {
    expect(json(await ask(stack, { ...named, max_tokens: 3, messages: CHEST_PAIN }))).toMatchObject({
      object,
    });
  });
});

describe("what reaches a server", () => {
  test("the client's bytes with our fields written last, and none of the client's headers", async () => {
    const body = `{"agent_type": "Billing",\n "messages": [{"role":"user","content":"réglement \\u00e9 – 5 €"}], "cache_prompt": true, "id_slot": 7, "max_tokens": 4}  \n`;
    const answer = await ask(stack, body, {
      "x-isha-ports": "8080",
      "x-isha-token": "forged",
      "x-conversation-id": "patient-7",
      cookie: "a=b",
      "x-request-id": "Jane Doe",
    });
    expect(answer.headers.get("x-isha-port")).toBe("8084");
    expect(answer.headers.get("x-client-request-id")).toBe("Jane Doe");
    // The agent's own call of one token may have come since.
    const received = (await stateOf(stack, 8084)).received.findLast((one) => one.body.includes("Billing"));
    const sent = received?.body ?? "";
    expect(sent.startsWith(body.trimEnd().slice(0, -1))).toBe(true);
    expect(JSON.parse(sent)).toMatchObject({
      n_predict: 4,
      cache_prompt: false,
      id_slot: expect.any(Number),
    });
    expect(JSON.parse(sent)).not.toMatchObject({ id_slot: 7 });
    expect(
      Object.keys(received?.headers ?? {})
        .map((name) => name.toLowerCase())
        .toSorted(),
    ).toEqual(["accept", "authorization", "connection", "content-length", "content-type", "host"]);
    expect(JSON.stringify(received?.headers)).not.toContain("dev-key");
  });

  test("an answer longer than the model's cap is cut there, whatever the client asked for", async () => {
    for (const max_tokens of [undefined, -1, 0, 1_000_000]) {
      const answer = await ask(stack, {
        agent_type: "Scribe",
        max_tokens,
        ignore_eos: true,
        messages: CHEST_PAIN,
      });
      expect(json<Mediczy>(answer).usage.completion_tokens).toBe(1024);
      expect(json<Mediczy>(answer).choices[0]?.finish_reason).toBe("length");
    }
  });

  test("a prompt longer than the model's context is a 400 with both numbers", async () => {
    const answer = await ask(stack, {
      agent_type: "Scribe",
      messages: [{ role: "user", content: "word ".repeat(4000) }],
    });
    expect(answer.status).toBe(400);
    expect(errorOf(answer).code).toBe("context_length_exceeded");
    expect(errorOf(answer).message).toMatch(/of \d+ tokens .* of 2048 tokens/);
  });
});
