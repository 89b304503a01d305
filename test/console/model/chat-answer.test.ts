import { describe, expect, it } from "vitest";
import {
  ended,
  tokenRate,
  WAITING,
  withChunk,
  withEvent,
  withHeaders,
} from "../../../console/model/chat-answer.ts";

describe("an answer", () => {
  const data = (value: unknown) => ({ event: "message", data: JSON.stringify(value) });
  const isha = { port: 8085, box: "box1", queue_ms: 7, fallback_from: 8084 };
  const usage = { prompt_tokens: 9, completion_tokens: 3 };

  it("in Mediczy's format takes each token once, and the route from its last event", () => {
    const token = (text: string) => data({ choices: [{ text, delta: { content: text } }] });
    let answer = withEvent(withEvent(WAITING, token("Chest"), 100), token(" pain"), 150);
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
    expect(tokenRate(answer)).toBe(20);
  });

  it("in OpenAI's format has the same text", () => {
    const answer = withEvent(
      WAITING,
      data({ choices: [{ delta: { role: "assistant", content: null } }] }),
      5,
    );
    expect(answer.firstTokenMs).toBeNull();
    expect(withEvent(answer, data({ choices: [{ delta: { content: "Chest" } }] }), 9).text).toBe("Chest");
  });

  it("that isn't streamed is read at once", () => {
    expect(
      withChunk(WAITING, { choices: [{ message: { content: "Chest" }, finish_reason: "length" }], usage }, 9),
    ).toMatchObject({
      text: "Chest",
      finishReason: "length",
      promptTokens: 9,
    });
  });

  it("that ends without [DONE] or with an error is never complete", () => {
    const partial = withEvent(WAITING, data({ choices: [{ delta: { content: "Chest" } }] }), 9);
    expect(ended(partial, 20)).toMatchObject({ state: "broken", problem: { code: "cut" } });
    const error = { error: { message: "m", code: "upstream_failed", request_id: "req_1" } };
    expect(ended(withEvent(partial, data(error), 12), 20)).toMatchObject({
      state: "broken",
      text: "Chest",
      requestId: "req_1",
      problem: { code: "upstream_failed" },
      totalMs: 12,
    });
    expect(withEvent(partial, { event: "message", data: "{" }, 9)).toMatchObject({
      problem: { code: "unreadable" },
    });
  });

  it("takes the values of its headers", () => {
    const headers = new Headers({
      "x-request-id": "req_9",
      "x-isha-port": "8080",
      "x-isha-queue-ms": "0",
      "x-isha-simulated": "1",
    });
    expect(withHeaders(WAITING, headers)).toMatchObject({
      requestId: "req_9",
      route: { port: "8080", queueMs: 0, simulated: true },
    });
  });
});
