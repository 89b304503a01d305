import { describe, expect, it } from "vitest";
import { parseAnswer, readCounts, readTimings } from "../../../origin-agent/answers/answer-json.ts";
import { ChatRecorder } from "../../../origin-agent/answers/recorder.ts";
import { ContinuedEvents } from "../../../origin-agent/answers/continuation.ts";
import { mediczy } from "../../../origin-agent/answers/mediczy.ts";
import { openai } from "../../../origin-agent/answers/openai.ts";
import { otherChoiceTexts } from "../../../origin-agent/answers/choice-tokens.ts";

/** JSON that a broken server could send instead of an answer. */
const SHAPELESS = [
  "5",
  "null",
  "[]",
  '"text"',
  '{"choices":5}',
  '{"choices":"ab"}',
  '{"choices":{}}',
  '{"choices":[null]}',
  '{"choices":[5]}',
  '{"choices":[[]]}',
  '{"choices":[{"delta":5}]}',
  '{"choices":[{"message":"text"}]}',
  '{"usage":5}',
  '{"usage":[]}',
  '{"timings":"fast"}',
  "{half",
  "",
];

/** Unusual, but still an answer. */
const ODD = [
  "{}",
  '{"choices":null,"usage":null,"timings":null}',
  '{"choices":[]}',
  '{"choices":[{}]}',
  '{"choices":[{"delta":null,"message":null,"finish_reason":5}]}',
  '{"choices":[{"index":1,"message":null}]}',
  '{"choices":[{"index":"a","delta":{"content":5}}]}',
  '{"choices":[{"delta":{"tool_calls":[null]}}]}',
  '{"choices":[{"delta":{"tool_calls":[{"function":null}]}}]}',
  '{"choices":[{"index":1,"message":{"tool_calls":[null,{"function":5}],"reasoning_content":{}}}]}',
  '{"usage":{"prompt_tokens_details":null,"prompt_tokens":1,"completion_tokens":1}}',
  '{"usage":{"prompt_tokens_details":5,"prompt_tokens":1,"completion_tokens":1}}',
  '{"id":{},"created":[],"model":1}',
];

const FACTS = { box: "north", port: 9101, queueMs: 1, fallbackFrom: null, agentType: "Radiology" };
const FIRST = { identity: { id: "a", created: 1, model: "m" }, text: "abc", tokens: 1 };
const eventOf = (data: string): Buffer => Buffer.from(`data: ${data}\n\n`);

describe("an answer", () => {
  it.each(SHAPELESS)("must have an answer's shape: %s", (data) => {
    expect(parseAnswer(data)).toBeNull();
    const recorder = new ChatRecorder(1_000);
    expect(recorder.push(eventOf(data))).toBe(false);
    expect(new ContinuedEvents(FIRST, "abc").push(eventOf(data))).toBeNull();
  });

  it.each([...SHAPELESS, ...ODD])("never makes its readers throw, whatever the server sent: %s", (data) => {
    mediczy.streaming?.translator(FACTS).push(eventOf(data));
    new ContinuedEvents(FIRST, "abc").push(eventOf(data));
    const answer = parseAnswer(data);
    expect(new ChatRecorder(1_000).push(eventOf(data))).toBe(answer !== null);
    if (answer === null) return;
    readCounts(answer);
    readTimings(answer);
    otherChoiceTexts(answer);
    for (const format of [openai, mediczy]) format.json(Buffer.from(data), FACTS, 2);
  });
});

describe("counts", () => {
  const usage = { prompt_tokens: 25, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 5 } };
  const timings = { prompt_n: 20, predicted_n: 7, cache_n: 5 };
  const COUNTED = { promptTokens: 25, cachedTokens: 5, completionTokens: 7 };

  it("are those that the server reports as usage or as timings", () => {
    expect([readCounts({ usage }), readCounts({ timings })]).toEqual([COUNTED, COUNTED]);
  });

  it.each([-1, 0.5, 1e300, "7", null, true])("are null if the server reports %j", (absurd) => {
    expect(readCounts({ usage: { ...usage, prompt_tokens: absurd } })).toBeNull();
    expect(readCounts({ usage: { ...usage, completion_tokens: absurd }, timings })).toEqual(COUNTED);
    expect(readCounts({ timings: { ...timings, predicted_n: absurd } })).toBeNull();
    const cached = { ...usage, prompt_tokens_details: { cached_tokens: absurd } };
    expect(readCounts({ usage: cached })).toEqual({ ...COUNTED, cachedTokens: 0 });
  });
});
