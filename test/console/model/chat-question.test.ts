import { describe, expect, it } from "vitest";
import { WAITING, type ChatAnswer } from "../../../console/model/chat-answer.ts";
import {
  chatBody,
  curlOf,
  questionFault,
  type Question,
  type Turn,
} from "../../../console/model/chat-question.ts";

const QUESTION: Question = {
  target: { kind: "agent", name: "Clinical" },
  system: "",
  prompt: 'it\'s `$(rm)` "quoted"',
  maxTokens: 64,
  temperature: null,
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

  it("has the system prompt first, and each earlier question with its answer", () => {
    const turn = (id: number, answer: Partial<ChatAnswer>): Turn => ({
      id,
      prompt: `question ${id}`,
      answer: { ...WAITING, ...answer },
    });
    const earlier = [
      turn(1, { state: "done", text: "answer 1" }),
      turn(2, { state: "broken", text: "half an ans" }),
      turn(3, { state: "stopped", text: "answer 3" }),
      turn(4, { state: "stopped", text: "" }),
    ];
    const question = { ...QUESTION, system: "Be brief.", prompt: "now", temperature: 0 };
    expect(chatBody(question, earlier)).toMatchObject({
      temperature: 0,
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "question 1" },
        { role: "assistant", content: "answer 1" },
        { role: "user", content: "question 3" },
        { role: "assistant", content: "answer 3" },
        { role: "user", content: "now" },
      ],
    });
    expect(chatBody(QUESTION)).not.toHaveProperty("temperature");
    expect(chatBody({ ...QUESTION, system: " \n" })["messages"]).toHaveLength(1);
  });

  it.each([
    [{ prompt: " " }, "Enter a prompt."],
    [{ maxTokens: 0 }, "Max tokens must be at least 1."],
    [{ maxTokens: Number.NaN }, "Max tokens must be at least 1."],
    [{ temperature: -0.1 }, "The temperature must be between 0 and 2."],
    [{ temperature: 1e9 }, "The temperature must be between 0 and 2."],
    [{ temperature: 2 }, null],
  ])("%o: %s", (change, fault) => {
    expect(questionFault({ ...QUESTION, ...change })).toBe(fault);
  });

  it("as a curl command contains the variable instead of the key, and quotes what a shell would interpret", () => {
    const curl = curlOf("https://fleet.example", chatBody(QUESTION));
    expect(curl).toContain('-H "Authorization: Bearer $ISHA_KEY"');
    expect(curl).toContain("https://fleet.example/v1/chat/completions");
    const body = /-d '(.*)'$/s.exec(curl)?.[1]?.replaceAll(String.raw`'\''`, "'");
    expect(JSON.parse(body ?? "")).toMatchObject({ messages: [{ content: QUESTION.prompt }] });
  });
});
