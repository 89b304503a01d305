import { describe, expect, it } from "vitest";
import { ASKING, ended, pace, withEvent, withHeaders, withPiece } from "../../console/model/chat-answer.ts";
import { chatBody, curlOf, type Question } from "../../console/model/chat-question.ts";
import { EventReader } from "../../console/api/sse.ts";
import { agentTypes, targetGroups, targetOf } from "../../console/model/targets.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { FakeFleet } from "./support/fake-fleet.ts";

const QUESTION: Question = {
  target: { kind: "agent", name: "Clinical" },
  prompt: 'it\'s `$(rm)` "quoted"',
  maxTokens: 64,
  stream: true,
  fallback: true,
};

describe("events out of chunks", () => {
  const text =
    ': comment\r\n\r\nevent: fleet\r\ndata: {"a":"señor ça"}\r\n\r\ndata: one\ndata: two\n\n: ping\n\ndata: [DONE]\n\n';
  const wanted = [
    { event: "fleet", data: '{"a":"señor ça"}' },
    { event: "message", data: "one\ntwo" },
    { event: "message", data: "[DONE]" },
  ];

  it("are the same however the bytes are cut", () => {
    const bytes = new TextEncoder().encode(text);
    for (let seed = 0; seed < 200; seed += 1) {
      const random = new SeededRandom(seed);
      const reader = new EventReader();
      const found = [];
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + random.below(9);
        found.push(...reader.push(bytes.slice(at, end)));
        at = end;
      }
      expect(found).toEqual(wanted);
    }
  });

  it("an event without an end is given up, not collected for ever", () => {
    const reader = new EventReader();
    const push = (): unknown => reader.push(new Uint8Array(1024 * 1024).fill(97));
    expect(() => Array.from({ length: 6 }, push)).toThrow("has no end");
  });
});

describe("an answer", () => {
  const data = (value: unknown) => ({ event: "message", data: JSON.stringify(value) });
  const isha = { port: 8085, box: "box1", queue_ms: 7, fallback_from: 8084 };
  const usage = { prompt_tokens: 9, completion_tokens: 3 };

  it("in Mediczy's format takes each word once, and the route from its last event", () => {
    const word = (text: string) => data({ choices: [{ text, delta: { content: text } }] });
    let answer = withEvent(withEvent(ASKING, word("Chest"), 100), word(" pain"), 150);
    answer = withEvent(
      answer,
      data({ choices: [{ text: "", delta: {}, finish_reason: "stop" }], usage, isha }),
      200,
    );
    answer = withEvent(answer, { event: "message", data: "[DONE]" }, 200);
    expect(answer).toMatchObject({
      state: "done",
      text: "Chest pain",
      firstTokenMs: 100,
      completionTokens: 3,
    });
    expect(answer.route).toMatchObject({ port: "8085", box: "box1", queueMs: 7, fallbackFrom: "8084" });
    expect(pace(answer)).toBe(20);
  });

  it("in OpenAI's format is the same text", () => {
    const answer = withEvent(ASKING, data({ choices: [{ delta: { role: "assistant", content: null } }] }), 5);
    expect(answer.firstTokenMs).toBeNull();
    expect(withEvent(answer, data({ choices: [{ delta: { content: "Chest" } }] }), 9).text).toBe("Chest");
  });

  it("that isn't streamed is read whole", () => {
    expect(
      withPiece(ASKING, { choices: [{ message: { content: "Chest" }, finish_reason: "length" }], usage }, 9),
    ).toMatchObject({
      text: "Chest",
      finishReason: "length",
      promptTokens: 9,
    });
  });

  it("that ends without [DONE] or with an error is never taken for whole", () => {
    const some = withEvent(ASKING, data({ choices: [{ delta: { content: "Chest" } }] }), 9);
    expect(ended(some, 20)).toMatchObject({ state: "broken", problem: { code: "cut" } });
    const error = { error: { message: "m", code: "upstream_failed", request_id: "req_1" } };
    expect(ended(withEvent(some, data(error), 12), 20)).toMatchObject({
      state: "broken",
      text: "Chest",
      requestId: "req_1",
      problem: { code: "upstream_failed" },
      totalMs: 12,
    });
    expect(withEvent(some, { event: "message", data: "{" }, 9)).toMatchObject({
      problem: { code: "unreadable" },
    });
  });

  it("takes what its headers tell", () => {
    const headers = new Headers({
      "x-request-id": "req_9",
      "x-isha-port": "8080",
      "x-isha-queue-ms": "0",
      "x-isha-simulated": "1",
    });
    expect(withHeaders(ASKING, headers)).toMatchObject({
      requestId: "req_9",
      route: { port: "8080", queueMs: 0, simulated: true },
    });
  });
});

describe("a question", () => {
  it.each([
    [{ kind: "agent", name: "Clinical" }, { agent_type: "Clinical" }],
    [{ kind: "port", port: 8081 }, { model_port: 8081 }],
    [
      { kind: "model", name: "Qwen-0.6B" },
      { model: "Qwen-0.6B", stream_options: { include_usage: true } },
    ],
  ] as const)("for %o is addressed so", (target, body) => {
    expect(chatBody({ ...QUESTION, target })).toMatchObject(body);
  });

  it("says that nobody else may answer only where it was said", () => {
    expect(chatBody(QUESTION)).not.toHaveProperty("fallback");
    expect(chatBody({ ...QUESTION, fallback: false })).toMatchObject({ fallback: false });
  });

  it("as curl holds the variable, not the key, and quotes what a shell would take for its own", () => {
    const curl = curlOf("https://fleet.example", QUESTION);
    expect(curl).toContain('-H "Authorization: Bearer $ISHA_KEY"');
    expect(curl).toContain("https://fleet.example/v1/chat/completions");
    const body = /-d '(.*)'$/s.exec(curl)?.[1]?.replaceAll(String.raw`'\''`, "'");
    expect(JSON.parse(body ?? "")).toMatchObject({ messages: [{ content: QUESTION.prompt }] });
  });

  it("can be put to all the fleet has", () => {
    const view = new FakeFleet(Date.now).view();
    expect(agentTypes(view)[0]).toBe("Default");
    for (const { options } of targetGroups(view)) {
      for (const { value } of options) {
        const target = targetOf(value);
        expect(`${target.kind}:${target.kind === "port" ? target.port : target.name}`).toBe(value);
      }
    }
    expect(targetGroups(view).map(({ options }) => options.length)).toEqual([10, 5, 4]);
  });
});
