// Checks that the counts read from the end of an answer are those that a parser finds in it, or none: whatever texts,
// names and further fields the answer has.
import { describe, expect, it } from "vitest";
import { isAnswer, readCounts, readTimings } from "../../../origin-agent/answers/answer-json.ts";
import { readTail } from "../../../origin-agent/answers/answer-tail.ts";
import { parseObject } from "../../../origin-agent/answers/parse-object.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { recordedBody } from "../support/transcripts.ts";

type Json = Record<string, unknown>;

const LIE = '}],"created":1,"usage":{"prompt_tokens":9,"completion_tokens":9},"timings":{}}';
const PIECES = [LIE, LIE, '"', "\\", "}]", ',"created":', "é", "😀", "\n", "\u0000", "a", '{"choices":[{'];

/** Text as a model or a client can choose it. */
const text = (random: SeededRandom): string => random.text(random.below(5), PIECES);

function value(random: SeededRandom, depth: number): unknown {
  const kind = random.below(depth > 2 ? 4 : 7);
  if (kind === 0) return text(random);
  if (kind === 1) return random.below(1e6);
  if (kind === 2) return null;
  if (kind === 3) return random.chance(0.5);
  if (kind === 4) return Array.from({ length: random.below(3) }, () => value(random, depth + 1));
  if (kind === 5) return [answer(random, depth + 1)];
  return Object.fromEntries(
    Array.from({ length: random.below(4) }, () => [text(random), value(random, depth + 1)]),
  );
}

const counts = (random: SeededRandom): Json => ({
  completion_tokens: random.below(100),
  prompt_tokens: random.chance(0.1) ? text(random) : random.below(100),
  total_tokens: random.below(200),
  prompt_tokens_details: { cached_tokens: random.below(9) },
});

/** An answer like llama-server's, sometimes with fields that it doesn't send, or in another order. */
function answer(random: SeededRandom, depth = 0): Json {
  const choices = Array.from({ length: 1 + random.below(2) }, (_, index) => ({
    finish_reason: "stop",
    index,
    message: { role: "assistant", content: text(random) },
    ...(random.chance(0.3) ? { logprobs: value(random, depth + 1) } : {}),
  }));
  const fields: [string, unknown][] = [
    ["choices", choices],
    ["created", random.below(1e9)],
    ["model", text(random)],
    ["object", "chat.completion"],
    ["usage", counts(random)],
    ["id", text(random)],
    ["timings", { cache_n: 1, prompt_n: random.below(50), predicted_n: random.below(50), predicted_ms: 7 }],
  ];
  if (random.chance(0.3)) fields.splice(random.below(8), 0, [`x${text(random)}`, value(random, depth + 1)]);
  if (random.chance(0.2)) fields.splice(random.below(7), 1);
  return Object.fromEntries(random.chance(0.2) ? random.shuffled(fields) : fields);
}

/** What a parser reads. */
function parsed(body: Buffer): unknown {
  const found = parseObject(body.toString("utf8"));
  if (found === null || !isAnswer(found) || !Array.isArray(found.choices)) return null;
  return { counts: readCounts(found), timings: readTimings(found) };
}

describe("the end of an answer", () => {
  it.each(["chat", "completions", "chat-logprobs", "chat-n2", "tools-required", "stop-string"])(
    "of a real server is read: %s",
    (name) => {
      const tail = readTail(recordedBody(name));
      expect(tail && { counts: readCounts(tail), timings: readTimings(tail) }).toEqual(
        parsed(recordedBody(name)),
      );
      expect(tail).not.toBeNull();
    },
  );

  it.each(SEEDS)("equals what a parser reads, or isn't read (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    let read = 0;
    for (let round = 0; round < 300; round += 1) {
      const body = Buffer.from(JSON.stringify(answer(random)));
      const tail = readTail(body);
      if (tail === null) continue;
      read += 1;
      expect({ counts: readCounts(tail), timings: readTimings(tail) }).toEqual(parsed(body));
    }
    expect(read).toBeGreaterThan(60);
  });

  it("of a real server's answer that was cut off isn't read", () => {
    const body = recordedBody("chat-logprobs");
    for (let length = 0; length < body.length; length += 1)
      expect(readTail(body.subarray(0, length))).toBeNull();
  });

  it("isn't read if it is longer than counts can be, or if there are none", () => {
    const base = { choices: [{ index: 0 }], created: 1 };
    const usage = { prompt_tokens: 1, completion_tokens: 1 };
    const timings = { predicted_n: 1 };
    const tailOf = (more: Json): unknown => readTail(Buffer.from(JSON.stringify({ ...base, ...more })));
    expect(tailOf({ usage, timings })).toMatchObject({ usage, timings });
    expect(tailOf({ usage, model: "m".repeat(3_000), timings })).toBeNull();
    expect(tailOf({ usage })).toBeNull();
    expect(tailOf({ timings })).toBeNull();
    expect(tailOf({ usage: 5, timings })).toBeNull();
  });
});
