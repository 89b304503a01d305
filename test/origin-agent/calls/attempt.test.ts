// Checks one try at one server: what is sent, and what the client gets for each way in which a server can fail.
import { describe, expect, it } from "vitest";
import type { Fault } from "../../sim/llama/switches.ts";
import { answered, ask, bodyOf, dataOf, errorOf, jsonOf, type Json, type Question } from "../support/ask.ts";
import { callsOf, endsOf, startAgent, startSimulator, WANTED } from "../support/box.ts";
import { oneServer } from "./support/servers.ts";

const { simulator, agent } = await oneServer();

/** The body that llama-server received. */
async function sentBody(question: Question): Promise<string> {
  await answered(agent.port, question);
  const body = (await callsOf(simulator))[0]?.body ?? "";
  // The tests don't depend on which of the two slots is used.
  return body.replace(/"id_slot":1}$/, '"id_slot":0}');
}

const OURS = '"cache_prompt":false,"id_slot":0}';

describe("the body that llama-server gets", () => {
  it("is the client's, byte for byte, except for the fields at its end", async () => {
    const body =
      '{ "messages" : [{"role":"user","content":"Fièvre 漢\\u00e9 \\ud83d\\ude00"}],\n\t"temperature":0.0, "unknown":{"a":[1e2]} \n}  \n';
    const sent = await sentBody({ body });
    const kept = body.slice(0, body.lastIndexOf("}"));
    expect(sent).toBe(`${kept},"n_predict":512,${OURS}`);
  });

  it("ends with the edge's fields, the format's and then the agent's", async () => {
    const question: Question = {
      call: { stream: true, format: "mediczy", set: { top_k: 3, chat_template_kwargs: { thinking: false } } },
    };
    const original = bodyOf(question).toString().slice(0, -1);
    expect(await sentBody(question)).toBe(
      `${original},"top_k":3,"chat_template_kwargs":{"thinking":false},"stream_options":{"include_usage":true},"n_predict":512,${OURS}`,
    );
  });

  it.each([
    ["none", {}, 512],
    ["less than the server's", { n_predict: 100 }, 100],
    ["more than the server's", { n_predict: 4096 }, 512],
    ["unlimited", { n_predict: -1 }, 512],
    ["zero", { n_predict: 0 }, 512],
    ["a text", { n_predict: "9999" }, 512],
  ])("is capped at the server's maximum if the edge sets the token limit to %s", async (_what, set, cap) => {
    const sent = await sentBody({ call: { set }, body: { n_predict: 9999, max_tokens: 9999 } });
    expect((JSON.parse(sent) as Json)["n_predict"]).toBe(cap);
  });

  it("never has a slot or cache that the client chose: it may contain another patient's text", async () => {
    const sent = await sentBody({
      body: { cache_prompt: true, id_slot: 7 },
      call: { set: { cache_prompt: true, id_slot: 7 } },
    });
    const { cache_prompt: cache, id_slot: slot } = JSON.parse(sent) as Json;
    expect(cache).toBe(false);
    expect([0, 1]).toContain(slot);
    expect((await endsOf(simulator))[0]).toMatchObject({ cachedTokens: 0, outcome: "complete" });
  });

  it.each(["", "[]", '"text"', '{"messages":[]', '{"messages":[]}}x'])(
    "is never sent if it is not an object: %j",
    async (body) => {
      const answer = await answered(agent.port, { body });
      expect(answer.status).toBe(400);
      expect(errorOf(answer).code).toBe("invalid_json");
      expect(await callsOf(simulator)).toEqual([]);
    },
  );
});

/** Text that no answer and no log line may contain. */
const MARKER = "Marker-Words-Of-A-Patient";
const PROMPT = { messages: [{ role: "user", content: MARKER }] };

const BEFORE_HEADERS: readonly Fault[] = [
  "garbage",
  "halfHeader",
  "closeAtOnce",
  "wrongContentType",
  "echo500",
];

describe("a server that fails before its answer", () => {
  describe.each(["openai", "mediczy"] as const)("in the format %s", (format) => {
    it.each(BEFORE_HEADERS.flatMap((fault) => [[fault, false] as const, [fault, true] as const]))(
      "leads to the agent's own error: %s (stream: %s)",
      async (fault, stream) => {
        await simulator.set({ fault });
        const answer = await answered(agent.port, { call: { stream, format }, body: PROMPT });
        const { code, ...error } = errorOf(answer);
        // The retry fails too, unless the server is known to be down by then.
        expect(["502 upstream_failed", "503 model_unavailable"]).toContain(`${answer.status} ${code}`);
        expect(error).toMatchObject({ type: "server_error", param: null, request_id: "req-1" });
        expect(answer.headers).toMatchObject({
          "content-type": "application/json; charset=utf-8",
          "x-isha-agent": "north",
          "x-isha-started": "1",
          "x-isha-code": code,
        });
        expect(answer.text).not.toContain(MARKER);
        expect(answer.text).not.toMatch(/It works|this is not HTTP|Failed to parse/);
      },
    );
  });

  it.each([false, true])("by dying during the prompt counts as started (stream: %s)", async (stream) => {
    const mortal = await startSimulator(WANTED, { dieOnWord: MARKER });
    const before = await startAgent({ [WANTED]: mortal.port });
    await before.settled();
    const answer = await answered(before.port, { call: { stream, fallbackPorts: [] }, body: PROMPT });
    expect([502, 503]).toContain(answer.status);
    expect(errorOf(answer).code).toMatch(/^(upstream_failed|model_unavailable)$/);
    expect(answer.headers["x-isha-started"]).toBe("1");
    expect(await mortal.exited).toMatchObject({ signal: "SIGKILL" });
    await before.close();
  });
});

describe("a server that fails in its answer", () => {
  /** Faults of an unstreamed 200, and the size of its body. */
  it.each([
    ["errorEvent200", "openai", 0],
    ["errorEvent200", "mediczy", 0],
    ["invalidUtf8", "mediczy", 0],
    ["hugeEvent", "openai", 9_000_000],
    ["hugeEvent", "mediczy", 9_000_000],
  ] as const)("is a 502 if nothing was sent yet: %s (%s)", async (fault, format, hugeEventBytes) => {
    await simulator.set({ fault, hugeEventBytes });
    const answer = await answered(agent.port, { call: { format }, body: PROMPT });
    expect(answer.status).toBe(502);
    expect(errorOf(answer).code).toBe("upstream_failed");
    expect(answer.text).not.toContain("Compute error");
  });

  it("in the middle of a JSON body gets a 502 too, because the agent buffers it until it is complete", async () => {
    await simulator.set({ cutAfterTokens: 5 });
    const answer = await answered(agent.port, { body: PROMPT });
    expect(answer.status).toBe(502);
    expect(errorOf(answer).code).toBe("upstream_failed");
  });

  it.each([
    ["errorEvent200", "openai"],
    ["errorEvent200", "mediczy"],
    ["hugeEvent", "openai"],
    ["hugeEvent", "mediczy"],
    ["invalidUtf8", "mediczy"],
  ] as const)("ends the stream with one error event and no [DONE]: %s (%s)", async (fault, format) => {
    await simulator.set({ fault, hugeEventBytes: 9_000_000 });
    const answer = await answered(agent.port, { call: { stream: true, format }, body: PROMPT });
    // If the first event can't be read, the error may be sent as a status.
    if (answer.status === 200) expect(answer.headers["content-type"]).toBe("text/event-stream");
    expect(answer.complete).toBe(true);
    expect(answer.text).not.toContain("[DONE]");
    expect(answer.text.match(/"error"/g)).toHaveLength(1);
    expect(errorOf(answer)).toMatchObject({ code: "upstream_failed", request_id: "req-1" });
    expect(answer.text).not.toContain("Compute error");
    expect(answer.bytes.length).toBeLessThan(100_000);
  });

  it("with bytes that are not UTF-8 passes them unchanged in OpenAI's format", async () => {
    await simulator.set({ fault: "invalidUtf8" });
    const answer = await answered(agent.port, { call: { stream: true }, body: PROMPT });
    expect(answer.bytes.includes(Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0x62]))).toBe(true);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
  });
});

describe("an answer larger than its tokens can be", () => {
  it.each([true, false])("is generated once, and is no fault of its server (stream: %s)", async (stream) => {
    await simulator.set({ fault: "hugeEvent", hugeEventBytes: 9_000_000 });
    const before = agent.log.filter((line) => line.includes('"event":"health"')).length;
    for (let round = 1; round <= 3; round += 1) {
      const answer = await answered(agent.port, { call: { stream }, body: PROMPT });
      expect(errorOf(answer).code).toBe("upstream_failed");
      if (answer.status !== 200) expect(answer.headers["x-should-retry"]).toBe("false");
      expect(await callsOf(simulator)).toHaveLength(round);
    }
    expect(agent.log.filter((line) => line.includes('"event":"health"'))).toHaveLength(before);
    await simulator.set({ fault: null });
    expect((await answered(agent.port)).headers["x-isha-port"]).toBe(String(WANTED));
  });

  it("has a bound that follows the token limit, with room for log-probabilities", async () => {
    const limit = (tokens: number): Question => ({ call: { set: { n_predict: tokens } }, body: PROMPT });
    await simulator.set({ fault: "hugeEvent", hugeEventBytes: 400_000 });
    expect((await answered(agent.port, limit(100))).status).toBe(200);
    expect((await answered(agent.port, limit(50))).status).toBe(502);
  });
});

describe("a server's refusal", () => {
  it.each([
    ["a field of a wrong type", { temperature: "hot" }, 400, "invalid_request"],
    ["more choices than slots", { n: 9 }, 400, "invalid_request"],
    [
      "a schema of no type",
      { response_format: { type: "json_schema", json_schema: { schema: { type: MARKER } } } },
      400,
      "invalid_request",
    ],
    [
      "a prompt longer than its context",
      { messages: [{ role: "user", content: "word ".repeat(5000) }] },
      400,
      "context_length_exceeded",
    ],
  ])("with %s gets an error status with the agent's own text", async (_what, body, status, code) => {
    for (const stream of [false, true]) {
      const answer = await answered(agent.port, { call: { stream }, body });
      expect(answer.status).toBe(status);
      expect(errorOf(answer).code).toBe(code);
      expect(answer.headers["x-should-retry"]).toBe("false");
      expect(answer.text).not.toContain(MARKER);
      expect(answer.text).not.toContain("json.exception");
    }
  });
});

describe("while one call fails", () => {
  it("the other calls on that server continue and complete", async () => {
    await simulator.set({ tokensPerSecond: 5 });
    const long = ask(agent.port, {
      call: { stream: true, set: { n_predict: 100 } },
      body: { ignore_eos: true },
    });
    await long.arrived('"content":"');
    for (const fault of ["garbage", "echo500", "closeAtOnce", "errorEvent200", "hugeEvent"] as const) {
      await simulator.set({ fault });
      await answered(agent.port, { call: { stream: true }, body: PROMPT });
    }
    expect(long.text()).not.toContain("[DONE]");
    await simulator.set({ fault: null, tokensPerSecond: 0 });
    const answer = await long.answer;
    expect(answer.status).toBe(200);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
    expect(jsonOf(await answered(agent.port))).toHaveProperty("choices");
  });
});
