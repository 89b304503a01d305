// Implements OpenAI's format, which is llama-server's own: bytes pass unchanged. It checks only whether the stream has
// ended and whether it contains an error.
import { ERROR_IN_STREAM, type AnswerFormat, type StreamTranslator } from "./format.ts";

const DONE = Buffer.from("data: [DONE]\n\n");
const CLOSING_BRACKET = 0x5d;

/** The start of an error event, at the beginning or after a blank line. Answer text can't match: JSON escapes its quotes. */
const ERROR_EVENTS = [Buffer.from('data: {"error"'), Buffer.from("error: {")];
const NEWLINE = 0x0a;

class PassThrough implements StreamTranslator {
  readonly passesText = true;
  complete = false;

  push(events: Buffer): { readonly write: Buffer } | { readonly fail: typeof ERROR_IN_STREAM } {
    if (hasErrorEvent(events)) return { fail: ERROR_IN_STREAM };
    if (events.at(-3) === CLOSING_BRACKET && events.subarray(-DONE.length).equals(DONE)) this.complete = true;
    return { write: events };
  }
}

function hasErrorEvent(events: Buffer): boolean {
  return ERROR_EVENTS.some((start) => {
    for (let at = events.indexOf(start); at >= 0; at = events.indexOf(start, at + 1)) {
      if (at === 0 || events[at - 1] === NEWLINE) return true;
    }
    return false;
  });
}

export const openai: AnswerFormat = {
  requestFields: () => ({}),
  stream: () => new PassThrough(),
  // An answer has choices; an error in a 200 has none.
  json: (body, { choices }) => (Array.isArray(choices) ? body : null),
};
