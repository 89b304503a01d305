// Implements OpenAI's formats of chats and completions, which are llama-server's own: bytes pass unchanged. A stream is
// checked for its end and for an error; of a JSON answer only the counts are read.
import { MAX_CONTINUED_BYTES } from "../../shared/limits.ts";
import { isAnswer, readCounts, readTimings, type AnswerJson } from "./answer-json.ts";
import { readTail } from "./answer-tail.ts";
import { otherChoiceTexts } from "./choice-tokens.ts";
import { CHAT_CONTINUATION, COMPLETION_CONTINUATION } from "./continuation.ts";
import { ERROR_IN_STREAM, type AnswerFormat, type JsonAnswer, type StreamTranslator } from "./format.ts";
import { parseObject } from "./parse-object.ts";
import { ChatRecorder, COMPLETION_FRAME } from "./recorder.ts";
import { beginsLine } from "./sse.ts";

const DONE = Buffer.from("data: [DONE]\n\n");
const CLOSING_BRACKET = 0x5d;

/** The start of an error event. */
const ERROR_EVENTS = [Buffer.from('data: {"error"'), Buffer.from("error: {")];

class PassThrough implements StreamTranslator {
  readonly passesText = true;
  complete = false;

  push(events: Buffer): { readonly write: Buffer } | { readonly fail: typeof ERROR_IN_STREAM } {
    if (ERROR_EVENTS.some((start) => beginsLine(events, start))) return { fail: ERROR_IN_STREAM };
    if (events.at(-3) === CLOSING_BRACKET && events.subarray(-DONE.length).equals(DONE)) this.complete = true;
    return { write: events };
  }
}

/** Reads a complete answer; the parts of it that clients choose (texts, names) are parsed only for several choices. */
function readJson(body: Buffer, choices: number): JsonAnswer | null {
  const tail = choices === 1 ? readTail(body) : null;
  if (tail !== null) return readParsed(body, tail, []);
  const answer = parseObject(body.toString("utf8"));
  // An answer has choices; an error in a 200 has none.
  if (answer === null || !isAnswer(answer) || !Array.isArray(answer.choices)) return null;
  return readParsed(body, answer, otherChoiceTexts(answer));
}

function readParsed(body: Buffer, answer: AnswerJson, texts: readonly string[]): JsonAnswer {
  return {
    written: body,
    counts: readCounts(answer),
    timings: readTimings(answer),
    otherChoiceTexts: texts,
  };
}

export const openai: AnswerFormat = {
  requestFields: () => ({}),
  streaming: {
    translator: () => new PassThrough(),
    recorder: () => new ChatRecorder(MAX_CONTINUED_BYTES),
    continuation: CHAT_CONTINUATION,
  },
  json: (body, _facts, choices) => readJson(body, choices),
};

export const completions: AnswerFormat = {
  ...openai,
  streaming: {
    translator: () => new PassThrough(),
    recorder: () => new ChatRecorder(MAX_CONTINUED_BYTES, COMPLETION_FRAME),
    continuation: COMPLETION_CONTINUATION,
  },
};
