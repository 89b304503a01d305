import { describe, expect, it } from "vitest";
import {
  ERROR_IN_STREAM,
  type AnswerFacts,
  type StreamTranslator,
} from "../../../origin-agent/answers/format.ts";
import { openai } from "../../../origin-agent/answers/openai.ts";
import { errorBody } from "../../../shared/errors.ts";
import { recordedBody, recordedChunks, TRANSCRIPTS } from "../support/transcripts.ts";

const FACTS: AnswerFacts = {
  box: "north",
  port: 9101,
  queueMs: 3,
  fallbackFrom: null,
  agentType: "Radiology",
};

function json(body: Buffer): Buffer | string | null {
  return openai.json(body, FACTS, 1)?.written ?? null;
}

function newStream(): StreamTranslator {
  const stream = openai.streaming?.translator(FACTS);
  if (stream === undefined) throw new Error("this format has streams");
  return stream;
}

/** What the client gets for these complete events, and whether the answer is complete. */
function passed(...runs: (Buffer | string)[]): { written: Buffer; complete: boolean; failed: boolean } {
  const stream = newStream();
  const written: Buffer[] = [];
  for (const run of runs) {
    const result = stream.push(Buffer.from(run));
    if ("fail" in result) return { written: Buffer.concat(written), complete: false, failed: true };
    written.push(Buffer.from(result.write));
  }
  return { written: Buffer.concat(written), complete: stream.complete, failed: false };
}

const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n';
const DONE = "data: [DONE]\n\n";
const streamed = TRANSCRIPTS.filter(
  ({ name, request, response }) =>
    request.path === "/v1/chat/completions" &&
    response?.chunks !== undefined &&
    !/abort|mid-stream/.test(name),
).map(({ name }) => name);

describe("a recorded stream", () => {
  it.each(streamed)("passes byte for byte and is complete: %s", (name) => {
    const chunks = recordedChunks(name);
    const { written, complete } = passed(...chunks);
    expect(written.equals(Buffer.concat(chunks))).toBe(true);
    expect(complete).toBe(true);
  });

  it.each(["client-abort", "killed-mid-stream", "terminated-mid-stream"])(
    "that broke off is incomplete: %s",
    (name) => {
      expect(passed(...recordedChunks(name))).toMatchObject({ complete: false, failed: false });
    },
  );

  it("is incomplete until its [DONE] arrives", () => {
    const chunks = recordedChunks("chat-stream");
    expect(passed(...chunks.slice(0, -1)).complete).toBe(false);
    expect(passed(Buffer.concat(chunks)).complete).toBe(true);
  });
});

describe("an error event", () => {
  const ERROR = 'data: {"error":{"code":500,"message":"the patient\'s words"}}\n\n';
  const OLD_ERROR = 'error: {"code":500}\n\n';

  it.each([
    ["alone", ERROR],
    ["after others in one chunk", EVENT + ERROR],
    ["before [DONE]", ERROR + DONE],
    ["in an older server's spelling", OLD_ERROR],
    ["in an older server's spelling, after others", EVENT + OLD_ERROR],
    ["after a comment", `:\n\n${ERROR}`],
  ])("ends the stream, %s", (_what, run) => {
    expect(passed(EVENT, run)).toEqual({ written: Buffer.from(EVENT), complete: false, failed: true });
  });

  it("is found after an answer text that mentions one in the same chunk", () => {
    const said = 'data: {"choices":[{"index":0,"delta":{"content":"stderr says error: {x"}}]}\n\n';
    expect(passed(said + OLD_ERROR).failed).toBe(true);
    expect(passed(said + ERROR).failed).toBe(true);
  });

  it("becomes our own error, without any of the server's text", () => {
    const result = newStream().push(Buffer.from(ERROR));
    expect(result).toEqual({ fail: ERROR_IN_STREAM });
    expect(JSON.stringify(errorBody(ERROR_IN_STREAM, "r"))).not.toContain("patient");
  });

  it("is not detected in an answer text that only mentions errors", () => {
    const texts = [
      'data: {"error"',
      "error: {",
      "\nerror: {",
      '\n\ndata: {"error":1}',
      "[DONE]",
      "data: [DONE]\n\n",
    ];
    for (const text of texts) {
      const event = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`;
      expect(passed(event)).toEqual({ written: Buffer.from(event), complete: false, failed: false });
    }
  });
});

describe("a JSON answer", () => {
  it.each(["chat", "chat-n2", "chat-logprobs", "chat-prefill"])("passes byte for byte: %s", (name) => {
    const body = recordedBody(name);
    expect(Buffer.from(json(body) ?? "").equals(body)).toBe(true);
  });

  it.each([
    ["an error in a 200", '{"error":{"code":500,"message":"the patient\'s words","type":"server_error"}}'],
    ["no JSON", "It works!"],
    ["nothing", ""],
  ])("that is %s is rejected: an upstream's own text never passes", (_what, body) => {
    expect(json(Buffer.from(body))).toBeNull();
  });
});

describe("the request", () => {
  it("is not changed for this format", () => {
    expect(openai.requestFields(true)).toEqual({});
    expect(openai.requestFields(false)).toEqual({});
  });
});
