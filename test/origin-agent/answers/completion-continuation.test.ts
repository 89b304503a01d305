// Checks the continuation of completions, and that failures which other products have had don't happen here.
import { describe, expect, it } from "vitest";
import {
  COMPLETION_CONTINUATION,
  ContinuedEvents,
  continuationRequest,
} from "../../../origin-agent/answers/continuation.ts";
import { eventData } from "../../../origin-agent/answers/sse.ts";

/** The events' data, parsed. */
const read = (events: readonly Buffer[]): unknown[] =>
  eventData(Buffer.concat(events)).map((data): unknown => (data === "[DONE]" ? data : JSON.parse(data)));

describe("the continuation of a completion", () => {
  const identity = { id: "cmpl-a", created: 1, model: "m" };
  const first = { identity, text: "one two", tokens: 2 };
  const bodyOf = (more: object): Buffer => Buffer.from(JSON.stringify({ prompt: "count:", ...more }));
  const event = (text: string, finish: string | null = null, more: object = {}): Buffer =>
    Buffer.from(
      `data: ${JSON.stringify({ choices: [{ text, index: 0, logprobs: null, finish_reason: finish }], created: 9, model: "m", object: "text_completion", id: "cmpl-z", ...more })}\n\n`,
    );

  it("sends the client's prompt with the text so far appended, byte for byte, and adds no word of ours", () => {
    const request = COMPLETION_CONTINUATION.request(bodyOf({ prompt: "Zähl: ", temperature: 0 }), "é\n two");
    expect(JSON.parse(request?.body.toString("utf8") ?? "")).toEqual({
      prompt: "Zähl: é\n two",
      temperature: 0,
    });
    expect(request).toMatchObject({ echo: "", prefill: "" });
  });

  it.each([
    { prompt: ["one"] },
    { prompt: [1, 2] },
    { prompt: null },
    { suffix: "end" },
    { echo: true },
    { logprobs: 1 },
    { n_probs: 2 },
    { grammar: 'root ::= "a"' },
    { json_schema: {} },
    { response_format: { type: "json_object" } },
    { n: 2 },
  ])("isn't possible with %j", (more) => {
    expect(COMPLETION_CONTINUATION.request(bodyOf(more), "text")).toBeNull();
  });

  it.each([{ suffix: null }, { echo: false }, { logprobs: null }, { n: 1 }, { stop: ["x"] }])(
    "is possible with %j",
    (more) => {
      expect(COMPLETION_CONTINUATION.request(bodyOf(more), "text")).not.toBeNull();
    },
  );

  it("keeps id and time, and counts the first part as answer", () => {
    const continued = COMPLETION_CONTINUATION.events(first, "");
    const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };
    const out = Buffer.concat([
      continued.push(event(" three")) ?? Buffer.alloc(0),
      continued.push(event("", "stop", { usage })) ?? Buffer.alloc(0),
      continued.push(Buffer.from("data: [DONE]\n\n")) ?? Buffer.alloc(0),
    ]);
    const events = read([out]);
    expect(events.at(-1)).toBe("[DONE]");
    expect(events.slice(0, 2)).toMatchObject([
      { id: "cmpl-a", created: 1, choices: [{ text: " three", finish_reason: null }] },
      {
        id: "cmpl-a",
        choices: [{ text: "", finish_reason: "stop" }],
        usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
      },
    ]);
  });

  it("fails on an event with log-probabilities, an error or another shape", () => {
    for (const data of [
      '{"choices":[{"text":"a","logprobs":{}}]}',
      '{"error":{"message":"x"}}',
      '{"choices":[{"delta":{"content":"a"}}]}',
      "null",
    ])
      expect(COMPLETION_CONTINUATION.events(first, "").push(Buffer.from(`data: ${data}\n\n`))).toBeNull();
  });

  it("ends with the finish reason that is missing, and without usage, which is in the event before", () => {
    expect(read([COMPLETION_CONTINUATION.closing(first, "stop", { promptTokens: 5 })])).toEqual(["[DONE]"]);
    expect(read([COMPLETION_CONTINUATION.closing(first, null, null)])).toMatchObject([
      { ...identity, object: "text_completion", choices: [{ text: "", index: 0, finish_reason: "length" }] },
      "[DONE]",
    ]);
  });
});

describe("what went wrong in other products", () => {
  const first = { identity: { id: "a", created: 1, model: "m" }, text: "So far", tokens: 2 };
  const eventOf = (delta: object, finish: string | null = null): Buffer =>
    Buffer.from(
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }], created: 9, id: "z", model: "m" })}\n\n`,
    );

  it("a system prompt of the gateway's own in the continuation: every message is the client's or the answer's", () => {
    const messages = [
      { role: "system", content: "Antworte auf Deutsch." },
      { role: "user", content: "Was fehlt mir?" },
    ];
    const body = Buffer.from(JSON.stringify({ messages, temperature: 0.1 }));
    expect(JSON.parse(continuationRequest(body, "Ihnen fehlt")?.body.toString("utf8") ?? "")).toEqual({
      messages: [...messages, { role: "assistant", content: "Ihnen fehlt" }],
      temperature: 0.1,
    });
  });

  it("a second role delta: the continuation's is dropped", () => {
    const continued = new ContinuedEvents(first, "So far");
    expect(continued.push(eventOf({ role: "assistant", content: null }))?.length).toBe(0);
    expect(read([continued.push(eventOf({ content: "So far, so" })) ?? Buffer.alloc(0)])).toMatchObject([
      { id: "a", choices: [{ delta: { content: ", so" } }] },
    ]);
  });

  it("a tool call lost silently: one that a continuation begins ends the answer with an error", () => {
    const continued = new ContinuedEvents(first, "So far");
    expect(continued.push(eventOf({ tool_calls: [{ index: 0, function: { name: "book" } }] }))).toBeNull();
  });
});
