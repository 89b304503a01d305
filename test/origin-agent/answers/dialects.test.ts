// Checks what a client of each dialect receives, and what is booked for it: with answers recorded from a real
// llama-server, as they were and broken.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CallEnd } from "../../../shared/usage.ts";
import { DIALECTS, type Dialect } from "../../../shared/dialects.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { answered, type Answer, type Json } from "../support/ask.ts";
import { OTHER, startAgent, type TestAgent } from "../support/box.ts";
import { cut } from "../support/cut.ts";
import { startRecordedServer, type RecordedServer } from "../support/recorded-server.ts";
import { recordedBody, recordedChunks, recordedStream } from "../support/transcripts.ts";

let recorded: RecordedServer;
let agent: TestAgent;

beforeAll(async () => {
  recorded = await startRecordedServer();
  agent = await startAgent({ [OTHER]: recorded.port });
});
beforeEach(() => agent.settled(OTHER));
afterAll(async () => {
  await agent.close();
  await recorded.close();
});

const JSON_TYPE = "application/json; charset=utf-8";

interface Sent {
  readonly stream?: boolean;
  readonly choices?: number;
  readonly continuable?: boolean;
  readonly body?: Json;
}

const EVENTS_TYPE = "text/event-stream";

/** The recorded server answers calls of this dialect with these pieces. */
function play(dialect: Dialect, type: string, pieces: readonly Buffer[]): void {
  recorded.play(type, pieces, { path: DIALECTS[dialect].path });
}

/** Sends a call of a dialect to the recorded server. */
function send(dialect: Dialect, { body, ...call }: Sent = {}): Promise<Answer> {
  const place = { wantedPort: OTHER, ports: [OTHER], fallbackPorts: [] };
  return answered(agent.port, {
    path: DIALECTS[dialect].path,
    call: { ...place, dialect, continuable: false, ...call },
    ...(body === undefined ? {} : { body }),
  });
}

/** What was booked for the last call. */
async function booked(): Promise<CallEnd> {
  await agent.allBooked();
  const end = agent.booked.at(-1)?.end;
  if (end == null) throw new Error("the call was not booked");
  return end;
}

const tokens = (promptTokens: number, cachedTokens: number, completionTokens: number): Partial<CallEnd> => ({
  promptTokens,
  cachedTokens,
  completionTokens,
  outcome: "complete",
});

const ANSWERS = [
  ["chat", "chat", tokens(25, 0, 8)],
  ["completions", "completions", tokens(2, 1, 3)],
  ["responses", "responses", tokens(18, 7, 3)],
  ["responses", "isolation-responses", tokens(40, 39, 5)],
  ["messages", "anthropic-messages", tokens(25, 7, 3)],
  ["messages", "isolation-messages", tokens(40, 0, 6)],
  ["embeddings", "embeddings-on", tokens(4, 0, 0)],
  ["embeddings", "embeddings-list", tokens(4, 0, 0)],
  ["rerank", "rerank-on", tokens(11, 0, 0)],
  ["count_tokens", "anthropic-count-tokens", tokens(0, 0, 0)],
  ["tokenize", "tokenize", tokens(0, 0, 0)],
  ["detokenize", "detokenize", tokens(0, 0, 0)],
  ["apply_template", "apply-template", tokens(0, 0, 0)],
] as const;

const STREAMS = [
  ["chat", "chat-stream-usage", tokens(25, 24, 4)],
  ["completions", "completions-stream", tokens(2, 1, 3)],
  ["responses", "responses-stream", tokens(31, 0, 6)],
  ["messages", "anthropic-messages-stream", tokens(25, 24, 3)],
] as const;

describe("a JSON answer", () => {
  it.each(ANSWERS)(
    "of %s passes byte for byte, and its own counts are booked: %s",
    async (dialect, name, counts) => {
      play(dialect, JSON_TYPE, [recordedBody(name)]);
      const answer = await send(dialect);
      expect(answer.bytes.equals(recordedBody(name))).toBe(true);
      expect(answer.headers["content-length"]).toBe(String(recordedBody(name).length));
      expect(await booked()).toMatchObject({ ...counts, estimated: false });
    },
  );

  it("of several prompts is booked with the tokens that llama-server leaves out of its usage", async () => {
    play("completions", JSON_TYPE, [recordedBody("completions-prompt-list")]);
    const answer = await send("completions", { choices: 2 });
    expect(answer.bytes.equals(recordedBody("completions-prompt-list"))).toBe(true);
    // The recorded server counts every text as seven tokens.
    expect(await booked()).toMatchObject({ completionTokens: 3 + 7, choices: 2, estimated: true });
  });

  it.each(ANSWERS)("of %s that is something else is an error of ours: %s", async (dialect) => {
    for (const body of ['{"error":{"code":500,"message":"the patient\'s words"}}', "no JSON"]) {
      await agent.settled(OTHER);
      play(dialect, JSON_TYPE, [Buffer.from(body)]);
      const answer = await send(dialect);
      expect(answer.status).toBe(502);
      expect(errorTypeOf(dialect, answer.text)).toBe(
        DIALECTS[dialect].errors === "anthropic" ? "api_error" : "server_error",
      );
      expect(answer.text).not.toContain("patient");
    }
  });
});

function errorTypeOf(dialect: Dialect, text: string): unknown {
  const answer = JSON.parse(text) as Json & { readonly error: Json };
  const isAnthropic = DIALECTS[dialect].errors === "anthropic";
  expect(answer["type"]).toBe(isAnthropic ? "error" : undefined);
  expect(isAnthropic ? answer["request_id"] : answer.error["request_id"]).toBe("req-1");
  return answer.error["type"];
}

describe("a stream", () => {
  it.each(STREAMS)(
    "of %s passes byte for byte, and its own counts are booked: %s",
    async (dialect, name, counts) => {
      play(dialect, EVENTS_TYPE, recordedChunks(name));
      const answer = await send(dialect, { stream: true });
      expect(answer.bytes.equals(recordedStream(name))).toBe(true);
      expect(answer.complete).toBe(true);
      expect(await booked()).toMatchObject({ ...counts, estimated: false });
    },
  );

  it.each(SEEDS.slice(0, 3))("is the same however the server's bytes were split (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    for (const [dialect, name, counts] of STREAMS) {
      play(dialect, EVENTS_TYPE, cut(random, recordedStream(name)));
      const answer = await send(dialect, { stream: true });
      expect(answer.bytes.equals(recordedStream(name))).toBe(true);
      expect(await booked()).toMatchObject(counts);
    }
  });

  it("of several prompts passes its first event, which is null", async () => {
    const event = (index: number, text: string, finish: string | null = null, more: Json = {}): string =>
      `data: ${JSON.stringify({ choices: [{ text, index, logprobs: null, finish_reason: finish }], created: 1, model: "m", object: "text_completion", id: "cmpl-a", ...more })}\n\n`;
    const usage = { completion_tokens: 1, prompt_tokens: 2, total_tokens: 3 };
    const stream = `data: null\n\n${event(1, "one")}${event(0, "two")}${event(0, "", "stop", { usage })}${event(1, "", "stop")}data: [DONE]\n\n`;
    play("completions", EVENTS_TYPE, [Buffer.from(stream)]);
    const answer = await send("completions", { stream: true, choices: 2 });
    expect(answer.text).toBe(stream);
    expect(await booked()).toMatchObject({ completionTokens: 1 + 7 });
  });

  it.each(STREAMS)(
    "of %s that closes before its end ends with the dialect's error event: %s",
    async (dialect, name) => {
      const events = recordedStream(name)
        .toString("utf8")
        .split(/(?<=\n\n)/);
      // A chat's or completion's text is complete without its last event: then [DONE] is added.
      const sent = events.slice(0, dialect === "completions" ? -2 : dialect === "chat" ? -3 : -1).join("");
      for (const part of [sent, `${sent}${(events.at(-1) ?? "").slice(0, 9)}`]) {
        play(dialect, EVENTS_TYPE, [Buffer.from(part)]);
        const answer = await send(dialect, { stream: true });
        expect(answer.text.startsWith(sent)).toBe(true);
        expectErrorEvent(dialect, answer.text.slice(sent.length));
        expect(await booked()).toMatchObject({ outcome: "broken", estimated: dialect !== "messages" });
      }
    },
  );

  it.each(STREAMS)(
    "of %s with an error event of llama-server's gets ours instead: %s",
    async (dialect, name) => {
      const error = { code: 500, message: "the patient's words", type: "server_error" };
      const theirs =
        dialect === "messages"
          ? `event: error\ndata: ${JSON.stringify(error)}\n\n`
          : `data: ${JSON.stringify({ error })}\n\n`;
      const [first = Buffer.alloc(0)] = recordedChunks(name);
      play(dialect, EVENTS_TYPE, [first, Buffer.from(theirs)]);
      const answer = await send(dialect, { stream: true });
      expect(answer.text.startsWith(first.toString())).toBe(true);
      expectErrorEvent(dialect, answer.text.slice(first.toString().length));
      expect(answer.text).not.toContain("patient");
    },
  );

  it("may contain the bytes of an end or an error in its text", async () => {
    const text = 'event: message_stop\ndata: {"error": "event: error\n\ndata: [DONE]\n\n';
    const delta = JSON.stringify({
      type: "content_block_delta",
      index: 0,
      delta: { type: "text_delta", text },
    });
    const events = recordedStream("anthropic-messages-stream")
      .toString("utf8")
      .split(/(?<=\n\n)/);
    events.splice(3, 0, `event: content_block_delta\ndata: ${delta}\n\n`);
    play("messages", EVENTS_TYPE, [Buffer.from(events.join(""))]);
    expect((await send("messages", { stream: true })).text).toBe(events.join(""));
    play("messages", EVENTS_TYPE, [Buffer.from(events.slice(0, 5).join(""))]);
    expectErrorEvent(
      "messages",
      (await send("messages", { stream: true })).text.slice(events.slice(0, 5).join("").length),
    );
  });
});

/** The text must be one error event in the dialect's form, as its SDKs read it. */
function expectErrorEvent(dialect: Dialect, text: string): void {
  const named = /^event: error\ndata: ([^\n]*)\n\n$/.exec(text);
  const plain = /^data: ([^\n]*)\n\n$/.exec(text);
  const shape = DIALECTS[dialect].errors;
  expect(named === null).toBe(shape === "openai");
  const data = JSON.parse((named ?? plain)?.[1] ?? "null") as Json & { readonly error: Json };
  expect(data.error["message"]).toMatch(/^The model server/);
  if (shape !== "openai") expect(data["type"]).toBe("error");
  if (shape === "responses") expect(data["code"]).toBe("upstream_failed");
}
