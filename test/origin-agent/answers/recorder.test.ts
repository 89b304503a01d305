// Checks that the recorder keeps the events' content, however they were split.
import { describe, expect, it } from "vitest";
import { ChatRecorder } from "../../../origin-agent/answers/recorder.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { recordedStream } from "../support/transcripts.ts";

const MAX = 256 * 1024;
const HEAD = {
  created: 1_700_000_000,
  id: "chatcmpl-a",
  model: "Heron-3B.gguf",
  object: "chat.completion.chunk",
};
const PIECES = [
  "a",
  " the",
  "é",
  "漢",
  "😀",
  "\n",
  '"',
  "\\",
  "\u0007",
  '"}}],"created"',
  "data: ",
  "\n\n",
  "\u2028",
  "[DONE]",
  "</s>",
  "\ud83d\ude00x",
];

type Delta = Record<string, unknown>;
const event = (delta: Delta, finish: string | null = null, more: object = {}, choice: object = {}): Buffer =>
  Buffer.from(
    `data: ${JSON.stringify({ choices: [{ finish_reason: finish, index: 0, delta, ...choice }], ...HEAD, ...more })}\n\n`,
  );
const DONE = Buffer.from("data: [DONE]\n\n");
const TIMINGS = { prompt_n: 20, cache_n: 5, predicted_n: 7, predicted_ms: 70, prompt_ms: 9 };
const USAGE = {
  prompt_tokens: 25,
  completion_tokens: 7,
  total_tokens: 32,
  prompt_tokens_details: { cached_tokens: 5 },
};

describe("the text of a stream", () => {
  it.each(SEEDS)(
    "equals its events' text, with or without usage, in chunks of any length (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      for (let round = 0; round < 30; round += 1) {
        const pieces = Array.from({ length: random.below(60) }, () => random.text(random.below(4), PIECES));
        const usage = random.chance(0.5);
        const events = [
          event({ role: "assistant", content: null }),
          ...pieces.map((content) => event({ content })),
          event({}, "stop", usage ? {} : { timings: TIMINGS }),
          ...(usage
            ? [Buffer.from(`data: ${JSON.stringify({ choices: [], ...HEAD, usage: USAGE })}\n\n`)]
            : []),
          DONE,
        ];
        const recorder = new ChatRecorder(MAX);
        for (let at = 0; at < events.length;) {
          const end = at + 1 + random.below(5);
          recorder.push(Buffer.concat(events.slice(at, end)));
          at = end;
        }
        expect(recorder.text()).toBe(pieces.join(""));
        expect(recorder.plain).toBe(true);
        expect(recorder.finish).toBe("stop");
        expect(recorder.identity).toEqual({ id: HEAD.id, created: HEAD.created, model: HEAD.model });
        expect(recorder.counts).toEqual({ promptTokens: 25, cachedTokens: 5, completionTokens: 7 });
      }
    },
  );

  it("of a recorded server equals its text, and the counts equal the server's", () => {
    const recorder = new ChatRecorder(MAX);
    recorder.push(recordedStream("chat-stream-usage"));
    expect(recorder.text()).toBe(" Cub although Modult");
    expect(recorder.plain).toBe(true);
    expect(recorder.counts).toMatchObject({ promptTokens: 25, completionTokens: 4 });
  });

  it("above its limit is dropped: the answer can't be continued but is still passed on", () => {
    const recorder = new ChatRecorder(100);
    recorder.push(event({ role: "assistant", content: null }));
    recorder.push(event({ content: "x".repeat(100) }));
    expect(recorder.plain).toBe(true);
    recorder.push(event({ content: "y" }));
    recorder.push(event({ content: "z" }, "stop"));
    expect(recorder).toMatchObject({ plain: false, finish: "stop" });
    expect(recorder.text()).toBe("");
  });
});

describe("a stream that isn't one choice's plain text", () => {
  it.each<[string, Buffer]>([
    ["reasoning", event({ reasoning_content: "hm" })],
    ["a tool call", event({ tool_calls: [{ index: 0 }] })],
    ["log-probabilities", event({ content: "a" }, null, {}, { logprobs: { content: [] } })],
    [
      "two choices in one event",
      Buffer.from(
        `data: ${JSON.stringify({
          choices: [
            { index: 0, delta: {} },
            { index: 1, delta: {} },
          ],
          ...HEAD,
        })}\n\n`,
      ),
    ],
  ])("is detected: %s", (_what, bytes) => {
    const recorder = new ChatRecorder(MAX);
    recorder.push(
      Buffer.concat([event({ role: "assistant", content: null }), event({ content: "a" }), bytes]),
    );
    expect(recorder.plain).toBe(false);
  });
});
