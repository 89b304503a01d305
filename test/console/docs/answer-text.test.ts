import { describe, expect, it } from "vitest";
import { completeText, eventText } from "../../../console/docs/answer-text.ts";
import { bodyFault, urlOf } from "../../../console/docs/request.ts";
import transcripts from "../../fixtures/llama-transcripts.json" with { type: "json" };

interface Transcript {
  readonly name: string;
  readonly response: { readonly body?: string; readonly chunks?: readonly { readonly data: string }[] };
}

const recorded = (name: string): string => {
  const found = (transcripts as unknown as readonly Transcript[]).find((entry) => entry.name === name);
  const { body, chunks = [] } = found?.response ?? {};
  return body ?? chunks.map(({ data }) => data).join("");
};

describe("the text of an answer", () => {
  it.each(["chat", "completions", "responses", "anthropic-messages"])("is found in %s", (name) => {
    expect(completeText(recorded(name)).length).toBeGreaterThan(3);
  });

  it.each(["chat-stream", "completions-stream", "responses-stream", "anthropic-messages-stream"])(
    "is found in the events of %s",
    (name) => {
      const data = [...recorded(name).matchAll(/^data: (.*)$/gm)].map(([, line = ""]) => eventText(line));
      expect(data.filter((text) => text !== "").length).toBeGreaterThan(1);
    },
  );

  it("is empty for errors, other answers and what isn't JSON", () => {
    for (const body of [
      '{"error":{"message":"no"}}',
      '{"tokens":[1]}',
      "[DONE]",
      "",
      "null",
      '{"choices":[]}',
    ])
      expect([eventText(body), completeText(body)]).toEqual(["", ""]);
  });
});

describe("a request of the reference", () => {
  it("has its fields in path and query", () => {
    const fields = [
      { name: "id", in: "path", value: "a/b" },
      { name: "by", in: "query", value: "day" },
      { name: "to", in: "query", value: "" },
    ];
    expect(urlOf("/v1/models/{id}", fields)).toBe("/v1/models/a%2Fb?by=day");
  });

  it("is refused if its body isn't JSON", () => {
    expect(bodyFault("{")).toMatch(/^The body isn't valid JSON/);
    expect(bodyFault("{}")).toBeNull();
  });
});
