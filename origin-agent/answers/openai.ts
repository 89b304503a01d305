// OpenAI's format is llama-server's own: bytes pass as they came. Only two things are looked at: whether the
// stream came to its end, and whether an error hides in it.
import { ERROR_IN_STREAM, type AnswerFormat, type StreamTranslator } from "./format.ts";

const DONE = Buffer.from("data: [DONE]\n\n");
const CLOSING_BRACKET = 0x5d;

/** How an error event begins, here and after a blank line. Text of an answer can't look so: JSON escapes its quotes. */
const ERROR_EVENTS = [Buffer.from('data: {"error"'), Buffer.from("error: {")];
const NEWLINE = 0x0a;

class PassThrough implements StreamTranslator {
  readonly passesText = true;
  complete = false;

  push(whole: Buffer): { readonly write: Buffer } | { readonly fail: typeof ERROR_IN_STREAM } {
    if (hasErrorEvent(whole)) return { fail: ERROR_IN_STREAM };
    if (whole.at(-3) === CLOSING_BRACKET && whole.subarray(-DONE.length).equals(DONE)) this.complete = true;
    return { write: whole };
  }
}

function hasErrorEvent(whole: Buffer): boolean {
  return ERROR_EVENTS.some((start) => {
    for (let at = whole.indexOf(start); at >= 0; at = whole.indexOf(start, at + 1)) {
      if (at === 0 || whole[at - 1] === NEWLINE) return true;
    }
    return false;
  });
}

export const openai: AnswerFormat = {
  requestFields: () => ({}),
  stream: () => new PassThrough(),
  // An answer has choices; an error in a 200 hasn't.
  json: (body, { choices }) => (Array.isArray(choices) ? body : null),
};
