// Reads the counts at the end of a chat's or completion's JSON answer without parsing the rest: the texts before it can be
// large, and nothing here needs them. If an answer differs from what llama-server sends, it isn't read here.
//
// Why no text can be mistaken for counts: the end is searched by bytes with an unescaped quote after a comma. Inside a
// JSON string each quote has a backslash before it, so this quote opens or closes a string; `created` follows it, so it
// opens a key. The bytes from there must parse as the rest of ONE object up to the last byte, so the key belongs to the
// answer itself and to no object in it. HTTP's framing proves that the answer is complete.
import { isAnswer, type AnswerJson } from "./answer-json.ts";
import { parseObject } from "./parse-object.ts";
import { startsWith } from "./sse.ts";

const START = Buffer.from('{"choices":[{');
/** The end of the choices and the first key after them (transcripts `chat`, `completions`). */
const AFTER_CHOICES = Buffer.from('}],"created":');

/** Model names, ids, counts and timings take about 600 bytes. */
const MAX_TAIL_BYTES = 2048;

/** @returns the fields after `choices`; null if the answer isn't laid out as expected: parse it then. */
export function readTail(body: Buffer): AnswerJson | null {
  if (!startsWith(body, START)) return null;
  const at = body.lastIndexOf(AFTER_CHOICES);
  if (at < 0 || body.length - at > MAX_TAIL_BYTES) return null;
  const tail = parseObject(`{${body.toString("utf8", at + 3)}`);
  if (tail === null || "choices" in tail || !("usage" in tail) || !("timings" in tail)) return null;
  return isAnswer(tail) ? tail : null;
}
