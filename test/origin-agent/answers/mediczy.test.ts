import { describe, expect, it } from "vitest";
import { EventSplitter } from "../../../origin-agent/answers/sse.ts";
import {
  ERROR_IN_STREAM,
  UNREADABLE,
  type AnswerFacts,
  type StreamTranslator,
} from "../../../origin-agent/answers/format.ts";
import { mediczy } from "../../../origin-agent/answers/mediczy.ts";
import { recordedBody, recordedChunks, recordedStream } from "../support/transcripts.ts";

const FACTS: AnswerFacts = {
  box: "north",
  port: 9101,
  queueMs: 3,
  fallbackFrom: null,
  agentType: "Radiology",
};
const ISHA = { port: 9101, box: "north", agent_type: "Radiology", queue_ms: 3, fallback_from: null };
const MODEL = "BiMediX2-8B-hf.i1-Q6_K.gguf";

type Json = Record<string, unknown>;

/** Translates a server's stream, given in these chunks; an error ends it. */
function translate(
  chunks: readonly Buffer[],
  facts = FACTS,
): { text: string; complete: boolean; fail: unknown } {
  const events = new EventSplitter(1_000_000);
  const stream = newStream(facts);
  let text = "";
  for (const chunk of chunks) {
    const whole = events.push(chunk);
    if (whole === "too-long") throw new Error("no event of these tests is that long");
    const result = stream.push(whole);
    if ("fail" in result) return { text, complete: stream.complete, fail: result.fail };
    text += result.write.toString();
  }
  return { text, complete: stream.complete, fail: null };
}

/** Every event's data, parsed; `[DONE]` unchanged. Throws if the text doesn't consist of complete events. */
function eventsOf(text: string): (Json | "[DONE]")[] {
  const parts = text.split("\n\n");
  expect(parts.pop()).toBe("");
  return parts.map((part) => {
    expect(part).toMatch(/^data: [^\n]*$/);
    return part === "data: [DONE]" ? "[DONE]" : (JSON.parse(part.slice(6)) as Json);
  });
}

function json(body: Buffer, facts = FACTS): Buffer | string | null {
  return mediczy.json(body, facts, 1)?.written ?? null;
}

function newStream(facts = FACTS): StreamTranslator {
  const stream = mediczy.streaming?.translator(facts);
  if (stream === undefined) throw new Error("this format has streams");
  return stream;
}

const answerOf = (name: string, facts = FACTS): Json =>
  JSON.parse((json(recordedBody(name), facts) ?? "null").toString()) as Json;

const head = (id: string, created = 1_795_425_618): Json => ({
  id: `cmpl-${id}`,
  object: "text_completion",
  created,
  model: MODEL,
});

/** A stream event with one choice. */
const event = (
  id: string,
  text: string,
  delta: Json,
  finish: string | null = null,
  more: Json = {},
): Json => ({
  ...head(id),
  choices: [{ index: 0, text, delta, finish_reason: finish }],
  ...more,
});

const usage = (prompt: number, completion: number): Json => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});

describe("a JSON answer", () => {
  it("is a text completion with message, usage and isha, in the old system's order", () => {
    const content = " Cub although Modult который imply forgetзе";
    const answer = answerOf("chat");
    expect(answer).toEqual({
      ...head("xS4KplCZCrhGECZZCaEsnkfZRM6BHMZA"),
      choices: [
        { index: 0, text: content, message: { role: "assistant", content }, finish_reason: "length" },
      ],
      usage: usage(25, 8),
      isha: ISHA,
    });
    expect(Object.keys(answer)).toEqual(["id", "object", "created", "model", "choices", "usage", "isha"]);
  });

  it("with several choices contains each of them", () => {
    const choice = (index: number): Json => ({
      index,
      text: " Cub although Mod",
      message: { role: "assistant", content: " Cub although Mod" },
      finish_reason: "length",
    });
    expect(answerOf("chat-n2")).toEqual({
      ...head("fj29i3C2nTlD7SnEQe7dKMxSs2WbXYAj"),
      choices: [choice(0), choice(1)],
      usage: usage(25, 3),
      isha: ISHA,
    });
  });

  it("that continues a message begins with it, like the server's", () => {
    const content = "The patient problema管леевом";
    expect(answerOf("chat-prefill")["choices"]).toEqual([
      { index: 0, text: content, message: { role: "assistant", content }, finish_reason: "length" },
    ]);
  });

  it("keeps log-probabilities", () => {
    const recorded = JSON.parse(recordedBody("chat-logprobs").toString()) as {
      choices: [{ logprobs: Json }];
    };
    const [choice] = answerOf("chat-logprobs")["choices"] as Json[];
    expect(choice?.["logprobs"]).toEqual(recorded.choices[0].logprobs);
    expect(choice?.["text"]).toBe(" Cub although");
  });

  it("with a tool call has it in the message, and an empty text, never null", () => {
    const message = {
      role: "assistant",
      content: null,
      tool_calls: [{ type: "function", id: "a", function: { name: "dose", arguments: "{}" } }],
    };
    const body = { ...(JSON.parse(recordedBody("tools-required").toString()) as Json) };
    body["choices"] = [{ finish_reason: "tool_calls", index: 0, message }];
    const answer = JSON.parse(json(Buffer.from(JSON.stringify(body)))?.toString() ?? "") as Json;
    expect(answer["choices"]).toEqual([{ index: 0, text: "", message, finish_reason: "tool_calls" }]);
  });

  it("names the server that answered and the requested one", () => {
    expect(
      answerOf("stop-string", {
        box: "south",
        port: 9103,
        queueMs: 0,
        fallbackFrom: 9101,
        agentType: "Claims",
      })["isha"],
    ).toEqual({
      port: 9103,
      box: "south",
      agent_type: "Claims",
      queue_ms: 0,
      fallback_from: 9101,
    });
  });

  it.each([
    ["no JSON", "<html>"],
    ["cut short", recordedBody("chat").toString().slice(0, -1)],
    ["an error in a 200", '{"error":{"code":500,"message":"words"}}'],
    ["without choices", '{"id":"a","created":1,"model":"m","usage":{}}'],
    ["null", "null"],
    ["empty", ""],
  ])("that can't be read is rejected: %s", (_what, body) => {
    expect(json(Buffer.from(body))).toBeNull();
  });
});

describe("a stream", () => {
  const id = "IsgdK9NQfgtPAJwJWRrplA0QFpcTYOn3";

  it("carries the same object in each event, usage and isha in the last one, then [DONE]", () => {
    const { text, complete, fail } = translate(recordedChunks("chat-stream-usage"));
    expect(eventsOf(text)).toEqual([
      event(id, "", { role: "assistant", content: null }),
      event(id, " Cub", { content: " Cub" }),
      event(id, " although", { content: " although" }),
      event(id, " Mod", { content: " Mod" }),
      event(id, "ult", { content: "ult" }),
      event(id, "", {}, "length", { usage: usage(25, 4), isha: ISHA }),
      "[DONE]",
    ]);
    expect({ complete, fail }).toEqual({ complete: true, fail: null });
  });

  it("without usage from the server has only isha in its last event", () => {
    const events = eventsOf(translate(recordedChunks("chat-stream")).text);
    const [last, done] = events.slice(-2);
    expect(last).toEqual(event("209bgOANLtAvYfNq9jpGI0e1MWaq3317", "", {}, "length", { isha: ISHA }));
    expect(done).toBe("[DONE]");
    expect(events.map((each) => (each === "[DONE]" ? "" : textOf(each))).join("")).toBe(
      " Cub although Modult который imply forgetзе",
    );
  });

  it("that continues a message begins with it in the first text", () => {
    const texts = eventsOf(translate(recordedChunks("chat-prefill-stream")).text).slice(0, -1);
    expect(texts.map((each) => textOf(each as Json))).toEqual([
      "",
      "The patient problema",
      "管",
      "лее",
      "вом",
      "",
    ]);
  });

  it.each([
    "chat-stream",
    "chat-stream-usage",
    "chat-stream-timings",
    "chat-prefill-stream",
    "tools-required-stream",
  ])("has a text in every event, never null, and usage and isha only in the last: %s", (name) => {
    const events = eventsOf(translate(recordedChunks(name)).text);
    expect(events.pop()).toBe("[DONE]");
    for (const [at, each] of events.entries()) {
      expect(typeof textOf(each as Json)).toBe("string");
      expect("isha" in (each as Json)).toBe(at === events.length - 1);
      if (at < events.length - 1) expect(each).not.toHaveProperty("usage");
      expect(each).not.toHaveProperty("timings");
    }
  });

  it("with two choices ends each, and only the last event carries usage and isha", () => {
    const chunk = (index: number, delta: Json, finish: string | null): string =>
      `data: ${JSON.stringify({ choices: [{ finish_reason: finish, index, delta }], created: 1, id: "chatcmpl-x", model: "m" })}\n\n`;
    const total = `data: ${JSON.stringify({ choices: [], created: 1, id: "chatcmpl-x", model: "m", usage: usage(2, 3) })}\n\n`;
    const stream = [
      chunk(0, { content: "a" }, null),
      chunk(1, { content: "b" }, null),
      chunk(0, {}, "stop"),
      total,
      chunk(1, { content: "c" }, null),
      chunk(1, {}, "length"),
      total,
      "data: [DONE]\n\n",
    ];
    const events = eventsOf(translate([Buffer.from(stream.join(""))]).text);
    const shown = events.map((each) =>
      each === "[DONE]" ? each : [each["choices"], each["isha"], each["usage"]],
    );
    const choice = (index: number, text: string, delta: Json, finish: string | null): Json[] => [
      { index, text, delta, finish_reason: finish },
    ];
    expect(shown).toEqual([
      [choice(0, "a", { content: "a" }, null), undefined, undefined],
      [choice(1, "b", { content: "b" }, null), undefined, undefined],
      [choice(0, "", {}, "stop"), undefined, undefined],
      [choice(1, "c", { content: "c" }, null), undefined, undefined],
      [choice(1, "", {}, "length"), ISHA, usage(2, 3)],
      "[DONE]",
    ]);
  });

  it("keeps log-probabilities and a delta's other fields", () => {
    const logprobs = { content: [{ token: "a", logprob: -1 }] };
    const choice = { finish_reason: null, index: 0, delta: { reasoning_content: "hm" }, logprobs };
    const chunk = `data: ${JSON.stringify({ choices: [choice], created: 1, id: "chatcmpl-x", model: "m" })}\n\n`;
    const [only] = eventsOf(translate([Buffer.from(chunk)]).text) as Json[];
    expect(only?.["choices"]).toEqual([
      { index: 0, text: "", delta: { reasoning_content: "hm" }, finish_reason: null, logprobs },
    ]);
  });

  it("is the same however it was split", () => {
    const whole = recordedStream("chat-prefill-stream");
    const expected = translate([whole]);
    expect(expected.complete).toBe(true);
    for (let at = 1; at < whole.length; at += 1) {
      const cut = translate([whole.subarray(0, at), whole.subarray(at)]);
      expect(cut, `cut at ${at}`).toEqual(expected);
    }
    const bytes = Array.from(whole, (byte) => Buffer.from([byte]));
    expect(translate(bytes)).toEqual(expected);
  });

  it("may have comments between its events", () => {
    const chunks = recordedChunks("chat-stream-usage").flatMap((chunk) => [Buffer.from(":\n\n"), chunk]);
    expect(translate(chunks).text).toBe(translate(recordedChunks("chat-stream-usage")).text);
  });

  it("that broke off is incomplete, and its events so far are passed on", () => {
    const { text, complete, fail } = translate(recordedChunks("killed-mid-stream"));
    expect({ complete, fail }).toEqual({ complete: false, fail: null });
    expect(eventsOf(text).length).toBeGreaterThan(1);
  });

  it.each([
    ["an error event", 'data: {"error":{"code":500,"message":"words"}}\n\n', ERROR_IN_STREAM],
    ["no JSON", "data: {\n\n", UNREADABLE],
    ["no event of a chat", 'data: {"content":"a"}\n\n', UNREADABLE],
    ["a choice without a delta", 'data: {"id":"a","choices":[{"index":0}]}\n\n', UNREADABLE],
    ["null", "data: null\n\n", UNREADABLE],
    ["a text", 'data: "a"\n\n', UNREADABLE],
  ])("ends with our own error text if it contains %s", (_what, malformed, refusal) => {
    const first = recordedChunks("chat-stream")[0] ?? Buffer.alloc(0);
    const { text, complete, fail } = translate([first, Buffer.from(malformed)]);
    expect(eventsOf(text)).toHaveLength(2);
    expect({ complete, fail }).toEqual({ complete: false, fail: refusal });
  });
});

describe("the request", () => {
  it("requests the usage that the last event of a stream must carry", () => {
    expect(mediczy.requestFields(true)).toEqual({ stream_options: { include_usage: true } });
    expect(mediczy.requestFields(false)).toEqual({});
  });
});

function textOf(translated: Json): unknown {
  const [choice] = translated["choices"] as Json[];
  return choice?.["text"];
}

describe("a stream that another server finishes", () => {
  it("names that server in its last event", () => {
    const stream = newStream();
    const chunks = recordedChunks("chat-stream-usage");
    stream.push(Buffer.concat(chunks.slice(0, 2)));
    stream.continueWith?.({ ...FACTS, port: 9102, fallbackFrom: 9101 });
    const rest = stream.push(Buffer.concat(chunks.slice(2)));
    const events = eventsOf("write" in rest ? rest.write.toString() : "");
    expect(events.at(-2)).toMatchObject({ isha: { ...ISHA, port: 9102, fallback_from: 9101 } });
  });
});
