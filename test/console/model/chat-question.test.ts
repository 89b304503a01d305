import { describe, expect, it } from "vitest";
import { chatBody, curlOf, type Question } from "../../../console/model/chat-question.ts";

const QUESTION: Question = {
  target: { kind: "agent", name: "Clinical" },
  prompt: 'it\'s `$(rm)` "quoted"',
  maxTokens: 64,
  stream: true,
  fallback: true,
};

describe("a playground request", () => {
  it.each([
    [{ kind: "agent", name: "Clinical" }, { agent_type: "Clinical" }],
    [{ kind: "port", port: 8081 }, { model_port: 8081 }],
    [
      { kind: "model", name: "Qwen-0.6B" },
      { model: "Qwen-0.6B", stream_options: { include_usage: true } },
    ],
  ] as const)("for %o has these fields", (target, body) => {
    expect(chatBody({ ...QUESTION, target })).toMatchObject(body);
  });

  it("refuses another model only if that was chosen", () => {
    expect(chatBody(QUESTION)).not.toHaveProperty("fallback");
    expect(chatBody({ ...QUESTION, fallback: false })).toMatchObject({ fallback: false });
  });

  it("as a curl command contains the variable instead of the key, and quotes what a shell would interpret", () => {
    const curl = curlOf("https://fleet.example", QUESTION);
    expect(curl).toContain('-H "Authorization: Bearer $ISHA_KEY"');
    expect(curl).toContain("https://fleet.example/v1/chat/completions");
    const body = /-d '(.*)'$/s.exec(curl)?.[1]?.replaceAll(String.raw`'\''`, "'");
    expect(JSON.parse(body ?? "")).toMatchObject({ messages: [{ content: QUESTION.prompt }] });
  });
});
