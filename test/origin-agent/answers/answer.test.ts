// Checks what a client receives: headers, bytes, and the error for an incomplete answer.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import {
  answered,
  ask,
  dataOf,
  deltasOf,
  errorOf,
  eventsOf,
  jsonOf,
  serveShortCalls,
  type Answer,
  type Json,
} from "../support/ask.ts";
import { OTHER, reset, startAgent, startSimulator, WANTED, type TestAgent } from "../support/box.ts";
import { cut } from "../support/cut.ts";
import { startRecordedServer, type RecordedServer } from "../support/recorded-server.ts";
import { recordedBody, recordedChunks, recordedStream } from "../support/transcripts.ts";
import { until } from "../../support/until.ts";

let simulator: SimulatedServer;
let recorded: RecordedServer;
let agent: TestAgent;

beforeAll(async () => {
  simulator = await startSimulator(WANTED);
  recorded = await startRecordedServer();
  agent = await startAgent({ [WANTED]: simulator.port, [OTHER]: recorded.port });
});
beforeEach(async () => {
  await reset(simulator);
  await agent.settled(WANTED);
});
afterAll(async () => {
  await agent.close();
  await recorded.close();
  await simulator.stop();
});

/** A call to the recorded server. */
const RECORDED = { wantedPort: OTHER, ports: [OTHER], fallbackPorts: [] };

describe("an answer in OpenAI's format", () => {
  it.each(["chat-stream", "chat-stream-usage", "chat-prefill-stream", "tools-required-stream"])(
    "streamed, equals the server's, byte for byte: %s",
    async (name) => {
      recorded.play("text/event-stream", recordedChunks(name));
      const answer = await answered(agent.port, { call: { ...RECORDED, stream: true } });
      expect(answer.bytes.equals(recordedStream(name))).toBe(true);
      expect(answer.complete).toBe(true);
    },
  );

  it.each(SEEDS.slice(0, 5))(
    "streamed, equals the server's however its bytes were split (seed %i)",
    async (seed) => {
      const bytes = recordedStream("chat-prefill-stream");
      recorded.play("text/event-stream", cut(new SeededRandom(seed), bytes));
      const answer = await answered(agent.port, { call: { ...RECORDED, stream: true } });
      expect(answer.bytes.equals(bytes)).toBe(true);
    },
  );

  it.each(["chat", "chat-n2", "chat-logprobs"])("not streamed, equals the server's too: %s", async (name) => {
    recorded.play("application/json; charset=utf-8", [recordedBody(name)]);
    const answer = await answered(agent.port, { call: RECORDED });
    expect(answer.bytes.equals(recordedBody(name))).toBe(true);
    expect(answer.headers["content-length"]).toBe(String(recordedBody(name).length));
  });
});

describe("an answer in Mediczy's format", () => {
  it.each(SEEDS.slice(0, 5))(
    "streamed, is the same however the server's was split (seed %i)",
    async (seed) => {
      recorded.play("text/event-stream", cut(new SeededRandom(seed), recordedStream("chat-stream-usage")));
      const answer = await answered(agent.port, { call: { ...RECORDED, stream: true, format: "mediczy" } });
      const events = eventsOf(answer);
      const texts = events.flatMap((event) =>
        (event["choices"] as { text: string }[]).map(({ text }) => text),
      );
      expect(texts.join("")).toBe(" Cub although Modult");
      expect(events.at(-1)).toMatchObject({
        usage: { prompt_tokens: 25, completion_tokens: 4, total_tokens: 29 },
        isha: { port: OTHER, box: "north", fallback_from: null },
      });
      expect(dataOf(answer).at(-1)).toBe("[DONE]");
    },
  );

  it("not streamed, has a correct content-length with multi-byte characters", async () => {
    recorded.play("application/json; charset=utf-8", [recordedBody("chat")]);
    const answer = await answered(agent.port, { call: { ...RECORDED, format: "mediczy" } });
    expect(answer.headers["content-length"]).toBe(String(answer.bytes.length));
    expect(jsonOf(answer)["object"]).toBe("text_completion");
    expect(answer.text).toContain("который imply forgetзе");
  });
});

describe("of many calls at once", () => {
  it.each(SEEDS.slice(0, 3))(
    "each gets its own answer and no text of another's, even if some disconnect (seed %i)",
    async (seed) => {
      const random = new SeededRandom(seed);
      await serveShortCalls(agent.port, {});
      await simulator.set({ tokensPerSecond: 2000 });
      const calls = Array.from({ length: 30 }, (_, at) => {
        const words = `Topic${at}x`;
        const call = {
          stream: random.chance(0.6),
          format: random.pick(["openai", "mediczy"] as const),
          requestId: `req-${at}`,
          // One key may use only half of a queue.
          keyId: `key-${at % 6}`,
        };
        const asked = ask(agent.port, { call, body: { messages: [{ role: "user", content: words }] } });
        return { words, asked, leaves: random.chance(0.3) };
      });
      for (const { asked, leaves } of random.shuffled(calls)) if (leaves) asked.leave();
      for (const { words, asked, leaves } of calls) {
        if (leaves) continue;
        const answer = await asked.answer;
        expect(answer.status).toBe(200);
        const topics = new Set(JSON.stringify(textOf(answer)).match(/Topic\d+x/g));
        expect(topics).toEqual(new Set([words]));
      }
      await simulator.until((state) => state.generating === 0 && state.deferred === 0);
      await until(() => agent.bodies.bytes === 0);
    },
  );
});

describe("the headers of an answer", () => {
  it("streamed, forbid buffering, compression and caching", async () => {
    const { headers } = await answered(agent.port, { call: { stream: true } });
    expect(headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
      "transfer-encoding": "chunked",
    });
    expect(headers).not.toHaveProperty("content-length");
    expect(headers).not.toHaveProperty("content-encoding");
  });

  it.each([true, false])(
    "name the server that answered, and contain none of llama-server's own headers (stream: %s)",
    async (stream) => {
      const { headers } = await answered(agent.port, { call: { stream } });
      expect(headers).toMatchObject({
        "x-isha-agent": "north",
        "x-isha-box": "north",
        "x-isha-port": String(WANTED),
        "x-isha-model": "Heron-3B.gguf",
        "x-isha-started": "1",
        "x-isha-simulated": "1",
      });
      expect(headers["x-isha-queue-ms"]).toMatch(/^\d+$/);
      expect(headers["server-timing"]).toMatch(/^queue;dur=\d+, upstream;dur=\d+$/);
      for (const name of [
        "server",
        "access-control-allow-origin",
        "x-accel-buffering",
        "x-isha-fallback-from",
      ]) {
        expect(headers).not.toHaveProperty(name);
      }
    },
  );
});

describe("a stream", () => {
  it("arrives as it is generated: the first event arrives while the server is still working", async () => {
    await simulator.set({ stallAfterTokens: 3 });
    const asked = ask(agent.port, { call: { stream: true } });
    await asked.arrived('"content":"(');
    expect(asked.text()).not.toContain("[DONE]");
    await simulator.set({ stallAfterTokens: null });
    expect(dataOf(await asked.answer).at(-1)).toBe("[DONE]");
  });

  it.each([
    ["a character split between two chunks", { splitUtf8: true }],
    ["none, two or three tokens in an event", { tokensPerEvent: [0, 2, 3] }],
    ["both", { splitUtf8: true, tokensPerEvent: [3, 0, 1] }],
  ])("contains the whole text with %s, in both formats", async (_what, switches) => {
    // Slow enough that chunks arrive separately.
    await simulator.set({ ...switches, tokensPerSecond: 500 });
    const whole = jsonOf(await answered(agent.port))["choices"] as [{ message: { content: string } }];
    const expected = whole[0].message.content;
    expect(expected).toMatch(/[“–]/);

    const openai = await answered(agent.port, { call: { stream: true } });
    expect(deltasOf(openai)).toBe(expected);
    expect(dataOf(openai).at(-1)).toBe("[DONE]");

    const mediczy = await answered(agent.port, { call: { stream: true, format: "mediczy" } });
    const texts = eventsOf(mediczy).map((event) => (event["choices"] as [{ text: unknown }])[0].text);
    expect(texts.join("")).toBe(expected);
    expect(texts.every((text) => typeof text === "string")).toBe(true);
    expect(mediczy.text).not.toContain("\ufffd");
  });

  it("with two choices contains both and ends once", async () => {
    const answer = await answered(agent.port, {
      call: { stream: true, format: "mediczy", choices: 2 },
      body: { n: 2, max_tokens: 4 },
    });
    const choices = eventsOf(answer).flatMap(
      (event) => event["choices"] as { index: number; finish_reason: unknown }[],
    );
    const ends = choices.filter(({ finish_reason }) => finish_reason !== null).map(({ index }) => index);
    expect(new Set(ends)).toEqual(new Set([0, 1]));
    expect(ends).toHaveLength(2);
    expect(answer.text.match(/"isha"/g)).toHaveLength(1);
    expect(answer.text.match(/\[DONE\]/g)).toHaveLength(1);
  });

  it("waits for a client that doesn't read, pauses its server and loses nothing", async () => {
    // More than the kernel's buffers can take.
    const event = Buffer.from(`data: {"choices":[],"padding":"${"a".repeat(500_000)}"}\n\n`);
    const events = [...Array.from({ length: 80 }, () => event), Buffer.from("data: [DONE]\n\n")];
    recorded.play("text/event-stream", events);
    const asked = ask(agent.port, { call: { ...RECORDED, stream: true }, readsOnDemand: true });
    await until(() => recorded.isPaused());
    asked.read();
    expect((await asked.answer).bytes.equals(Buffer.concat(events))).toBe(true);
  });
});

describe("a stream that breaks and that no other server can finish", () => {
  const UNCONTINUABLE = { stream: true, continuable: false };
  const isBroken = async (answer: Awaited<ReturnType<typeof answered>>, format: string): Promise<void> => {
    expect(answer.status).toBe(200);
    expect(answer.complete).toBe(true);
    const events: Json[] = eventsOf(answer);
    expect(events.filter((event) => "error" in event)).toHaveLength(1);
    expect(errorOf(answer)).toMatchObject({ code: "upstream_failed", request_id: "req-1" });
    expect(answer.text).not.toContain("[DONE]");
    // Earlier events are passed on, complete ones only; `dataOf` checks this.
    expect(events.length).toBeGreaterThan(2);
    if (format === "mediczy") expect(answer.text).not.toContain('"isha"');
  };

  it.each(["openai", "mediczy"] as const)(
    "in the middle of an event ends with one error event and no partial event (%s)",
    async (format) => {
      await simulator.set({ cutAfterTokens: 5, tokensPerSecond: 500 });
      await isBroken(await answered(agent.port, { call: { ...UNCONTINUABLE, format } }), format);
    },
  );

  it.each(["openai", "mediczy"] as const)(
    "because the server died ends with one error event (%s)",
    async (format) => {
      const mortal = await startSimulator(WANTED, { dieAfterTokens: 5, tokensPerSecond: 500 });
      const before = await startAgent({ [WANTED]: mortal.port });
      await before.settled();
      await isBroken(await answered(before.port, { call: { ...UNCONTINUABLE, format } }), format);
      expect(await mortal.exited).toMatchObject({ signal: "SIGKILL" });
      await before.close();
    },
  );

  it("or an endless error is reported at once and read no further", async () => {
    const words = Buffer.from(`${"words of a patient ".repeat(500)}\n`);
    recorded.play("text/plain", [words], { status: 500, endless: true });
    const answer = await answered(agent.port, { call: { ...RECORDED, ...UNCONTINUABLE } });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.text).not.toContain("patient");
    recorded.play("application/json; charset=utf-8", [recordedBody("chat")]);
    expect((await answered(agent.port, { call: RECORDED })).status).toBe(200);
  });

  it.each(["{half", '{"choices":[null]}', '{"usage":5}'])(
    "at a malformed event (%s) ends with one error event and passes on nothing of the malformed one",
    async (data) => {
      const [role, ...rest] = recordedChunks("chat-stream");
      if (role === undefined) throw new Error("the recording is empty");
      recorded.play("text/event-stream", [role, Buffer.from(`data: ${data}\n\n`), ...rest]);
      const answer = await answered(agent.port, { call: { ...RECORDED, ...UNCONTINUABLE } });
      expect(errorOf(answer)).toMatchObject({ code: "upstream_failed" });
      expect(eventsOf(answer).filter((event) => "error" in event)).toHaveLength(1);
      expect(answer.text).not.toMatch(/DONE|half|null\]|"usage":5/);
      // One such answer doesn't take its server out of use.
      recorded.play("application/json; charset=utf-8", [recordedBody("chat")]);
      expect((await answered(agent.port, { call: RECORDED })).status).toBe(200);
    },
  );

  it("after its whole text but before [DONE] is closed properly", async () => {
    recorded.play("text/event-stream", recordedChunks("chat-stream").slice(0, -1));
    const answer = await answered(agent.port, { call: { ...RECORDED, ...UNCONTINUABLE } });
    expect(answer.bytes.equals(recordedStream("chat-stream"))).toBe(true);
    expect(answer.complete).toBe(true);
  });

  it("with only one of two choices complete counts as incomplete", async () => {
    const event = (index: number, delta: object, finish: string | null): Buffer =>
      Buffer.from(
        `data: ${JSON.stringify({ choices: [{ finish_reason: finish, index, delta }], created: 1, id: "chatcmpl-a", model: "Wren-1B.gguf", object: "chat.completion.chunk" })}\n\n`,
      );
    recorded.play("text/event-stream", [
      event(0, { content: "whole" }, null),
      event(1, { content: "hal" }, null),
      event(0, {}, "stop"),
    ]);
    const answer = await answered(agent.port, { call: { ...RECORDED, ...UNCONTINUABLE, choices: 2 } });
    expect(errorOf(answer).code).toBe("upstream_failed");
    expect(answer.text).not.toContain("[DONE]");
  });

  it("with an empty body is not an answer", async () => {
    recorded.play("text/event-stream", []);
    const answer = await answered(agent.port, { call: { ...RECORDED, ...UNCONTINUABLE } });
    expect(errorOf(answer).code).toBe("upstream_failed");
    expect(answer.text).not.toContain("[DONE]");
  });
});

/** The whole text of an answer in either format, streamed or not. */
function textOf(answer: Answer): string {
  if (answer.headers["content-type"] === "text/event-stream") return deltasOf(answer);
  const [choice] = jsonOf(answer)["choices"] as [{ message: { content: string } }];
  return choice.message.content;
}
