// Calls for several choices: llama-server counts one, and the others are booked by what their text is worth.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ChatRecorder } from "../../origin-agent/chat-recorder.ts";
import { otherTextsOf, othersPassed, tokensOf } from "../../origin-agent/other-choices.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask, type Json } from "./ask.ts";
import { endsOf, OTHER, reset, startAgent, startSimulator, WANTED, type TestAgent } from "./box.ts";
import { startRecordedServer, type RecordedServer } from "./recorded-server.ts";
import { until } from "../support/until.ts";

const HEAD = { created: 1, id: "chatcmpl-a", model: "Wren-1B.gguf", object: "chat.completion.chunk" };
const USAGE = { prompt_tokens: 25, completion_tokens: 2, total_tokens: 27 };
const written = (event: object): Buffer => Buffer.from(`data: ${JSON.stringify({ ...event, ...HEAD })}\n\n`);
const said = (index: number, delta: object, finish: string | null = null): Buffer =>
  written({ choices: [{ finish_reason: finish, index, delta }] });
const COUNTED = written({ choices: [], usage: USAGE });
const DONE = Buffer.from("data: [DONE]\n\n");

describe("booked over a real server", () => {
  let simulator: SimulatedServer;
  let recorded: RecordedServer;
  let agent: TestAgent;

  beforeAll(async () => {
    [simulator, recorded] = await Promise.all([startSimulator(WANTED), startRecordedServer()]);
    agent = await startAgent({ [WANTED]: simulator.port, [OTHER]: recorded.port });
  });
  beforeEach(async () => {
    await reset(simulator);
    await agent.settled();
  });
  afterAll(async () => {
    await agent.close();
    await Promise.all([simulator.stop(), recorded.close()]);
  });

  /** Makes a call and waits until it is booked. */
  async function bookedFor(call: Json, body: Json = {}): Promise<Json> {
    const before = agent.booked.length;
    const answer = await answered(agent.port, { call, body });
    expect(answer.status).toBe(200);
    await until(() => agent.booked[before]?.end != null);
    return { ...agent.booked[before]?.end };
  }

  const counted = async (): Promise<number> => {
    const line = /^isha_tokens_total\{port="9101",kind="completion".*\} (\d+)$/m.exec(
      await agent.metrics.text(),
    );
    return Number(line?.[1] ?? 0);
  };

  it.each([
    { stream: true, format: "openai", body: {} },
    { stream: true, format: "openai", body: { stream_options: { include_usage: true } } },
    { stream: true, format: "openai", body: { timings_per_token: true } },
    { stream: true, format: "mediczy", body: {} },
    { stream: false, format: "openai", body: {} },
    { stream: false, format: "mediczy", body: {} },
  ])(
    "are all the tokens it generated, by its own /tokenize ($format, stream: $stream, $body)",
    async ({ body, ...how }) => {
      // Events don't tell the number of tokens.
      await simulator.set({ tokensPerEvent: [3, 1] });
      const before = await counted();
      const end = await bookedFor({ ...how, choices: 2 }, { ...body, n: 2 });
      const [made] = await endsOf(simulator);
      expect(made?.choices).toBe(2);
      expect(end).toMatchObject({
        outcome: "complete",
        completionTokens: made?.generatedTokens,
        choices: 2,
        estimated: true,
      });
      const { requestsByRoute } = await simulator.state();
      expect(requestsByRoute["/tokenize"]).toBe(1);
      // Its log line and the counter say the same.
      expect(agent.calls().at(-1)).toMatchObject({ completion_tokens: made?.generatedTokens });
      expect((await counted()) - before).toBe(made?.generatedTokens);
    },
  );

  it("of one choice are its own count, and nobody is asked", async () => {
    const end = await bookedFor({ stream: true });
    const [made] = await endsOf(simulator);
    expect(end).toMatchObject({ completionTokens: made?.generatedTokens, estimated: false });
    expect((await simulator.state()).requestsByRoute["/tokenize"]).toBeUndefined();
  });

  it("go by the text of each, however much longer one is than the one that was counted", async () => {
    // This server takes every text for seven tokens.
    recorded.play("text/event-stream", [
      said(0, { role: "assistant", content: null }),
      said(1, { role: "assistant", content: null }),
      said(1, { content: "a long answer " }),
      said(0, { content: "short" }),
      said(1, { content: "that goes on" }),
      said(1, {}, "stop"),
      said(0, {}, "stop"),
      COUNTED,
      DONE,
    ]);
    const at = { wantedPort: OTHER, ports: [OTHER], fallbackPorts: [] };
    expect(await bookedFor({ ...at, stream: true, choices: 2 })).toMatchObject({ completionTokens: 2 + 7 });
    const choices = ["short", "a long answer that goes on", "and another"].map((content, index) => ({
      finish_reason: "stop",
      index,
      message: { role: "assistant", content },
    }));
    const whole = { ...HEAD, object: "chat.completion", choices, usage: USAGE };
    recorded.play("application/json", [Buffer.from(JSON.stringify(whole))]);
    expect(await bookedFor({ ...at, choices: 2 })).toMatchObject({ completionTokens: 2 + 7 + 7 });
  });

  it("of a client that left are what had been delivered or decoded", async () => {
    await simulator.set({ stallAfterTokens: 10 });
    const before = agent.booked.length;
    const asked = ask(agent.port, {
      call: { stream: true, choices: 2 },
      body: { n: 2, ignore_eos: true, max_tokens: 400 },
    });
    await until(() => asked.text().split('"content":"').length === 21);
    asked.leave();
    await until(() => agent.booked[before]?.end != null);
    const end = agent.booked[before]?.end;
    expect(end).toMatchObject({ outcome: "aborted", estimated: true, choices: 2 });
    expect(end?.completionTokens).toBe(20);
  });
});

describe("while the others are counted", () => {
  it("the client has its answer and the slots are free, and an agent that goes waits for the booking", async () => {
    const simulator = await startSimulator(WANTED);
    const counting = Promise.withResolvers<number | null>();
    const agent = await startAgent({ [WANTED]: simulator.port }, { countTokens: () => counting.promise });
    await agent.settled();
    const answer = await answered(agent.port, { call: { stream: true, choices: 2 }, body: { n: 2 } });
    expect(answer.whole).toBe(true);
    await agent.settled();
    agent.drain();
    const booked = agent.allBooked().then(() => "booked");
    // Time for whatever would not wait.
    const asked = answered(agent.port, { method: "GET", path: "/healthz" }).then(() => "still counting");
    expect(await Promise.race([booked, asked])).toBe("still counting");
    counting.resolve(40);
    await booked;
    const [made] = await endsOf(simulator);
    expect(agent.booked[0]?.end?.completionTokens).toBe((made?.generatedTokens ?? 0) / 2 + 40);
    await agent.close();
    await simulator.stop();
  });
});

describe("what the others said", () => {
  const recorderOf = (maxBytes: number, ...events: Buffer[]): ChatRecorder => {
    const recorder = new ChatRecorder(maxBytes);
    for (const event of events) recorder.push(event);
    return recorder;
  };
  const both = [
    said(0, { role: "assistant", content: null }),
    said(1, { content: 'é"\n😀' }),
    said(0, { content: "one" }),
    said(1, { reasoning_content: "hm" }),
    said(0, { tool_calls: [{ index: 0, id: "x", function: { name: "look", arguments: '{"a":1}' } }] }),
  ];

  it("is kept apart from the first one's text, and is all but the last that was counted", () => {
    const first = recorderOf(1_000, ...both, said(1, {}, "stop"), said(0, {}, "stop"), COUNTED);
    expect(first.text()).toBe("one");
    expect(first.otherTexts()).toEqual(['é"\n😀hm']);
    const second = recorderOf(1_000, ...both, said(0, {}, "stop"), COUNTED, said(1, {}, "stop"), COUNTED);
    expect(second.otherTexts()).toEqual(['onelook{"a":1}']);
  });

  it("is bounded in all, and let go past that", () => {
    const long = said(1, { content: "x".repeat(600) });
    expect(recorderOf(1_000, ...both, long).otherTexts()).toEqual([expect.stringMatching(/^é.*x{600}$/s)]);
    const over = recorderOf(1_000, ...both, long, long, said(2, { content: "more" }));
    expect(over.otherTexts()).toBeNull();
    expect(over.textEvents).toBe(7);
  });

  it("in a whole answer is every choice's but the first's", () => {
    const choices = [
      { index: 0, message: { content: "one" } },
      { index: 1, message: { content: "two", reasoning_content: "hm" } },
      { index: 2, message: { content: null, tool_calls: [{ function: { name: "look" } }, null] } },
    ];
    expect(otherTextsOf({ choices })).toEqual(["twohm", "look"]);
  });

  it("is counted text by text; where one isn't, by what went by or by the one that was", async () => {
    const letters = (text: string): Promise<number | null> =>
      Promise.resolve(text === "?" ? null : text.length);
    expect(await tokensOf(["ab", "", "cde"], letters)).toBe(5);
    expect(await tokensOf(["ab", "?"], letters)).toBeNull();
    expect(await tokensOf(null, letters)).toBeNull();
    const counts = { promptTokens: 25, cachedTokens: 0, completionTokens: 2 };
    expect(othersPassed(3, counts, null)).toBe(4);
    expect(othersPassed(2, counts, recorderOf(1_000, ...both))).toBe(2);
    expect(othersPassed(1, counts, null)).toBe(0);
    expect(othersPassed(2, null, null)).toBe(0);
  });
});
