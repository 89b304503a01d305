// Implements the dialects that generate no text: embeddings, reranking and the token routes. Their answers are complete
// JSON and pass unchanged. The tokens of embeddings and reranking are prompt tokens; token routes process none.
import { count, isObject, type Counts } from "./answer-json.ts";
import type { AnswerFormat } from "./format.ts";
import { parseObject } from "./parse-object.ts";

type Json = Record<string, unknown>;

/** Largest answer of a token route for each byte of its body: a number of a token can stand for a long word. */
const BYTES_PER_BODY_BYTE = 64;
const MAX_FRAME_BYTES = 64 * 1024;

/** Largest answer with vectors: 1,000 inputs with vectors of 768 numbers take 16 MB. */
const MAX_VECTOR_BYTES = 32 * 1024 * 1024;

const NO_TOKENS: Counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

function plain(
  isAnswer: (answer: Json) => boolean,
  counts: (answer: Json) => Counts | null,
  answerBytes: (bodyBytes: number) => number,
): AnswerFormat {
  return {
    requestFields: () => ({}),
    streaming: null,
    json: (body) => {
      const answer = parseObject(body.toString("utf8"));
      if (answer === null || !isAnswer(answer)) return null;
      return { written: body, counts: counts(answer), timings: null, otherChoiceTexts: [] };
    },
    answerBytes,
  };
}

function promptCounts({ usage }: Json): Counts | null {
  const promptTokens = count(isObject(usage) ? usage["prompt_tokens"] : null);
  return promptTokens === null ? null : { ...NO_TOKENS, promptTokens };
}

const ofTokenRoute = (isAnswer: (answer: Json) => boolean): AnswerFormat =>
  plain(
    isAnswer,
    () => NO_TOKENS,
    (bodyBytes) => bodyBytes * BYTES_PER_BODY_BYTE + MAX_FRAME_BYTES,
  );

export const embeddings = plain(
  ({ data }) => Array.isArray(data),
  promptCounts,
  () => MAX_VECTOR_BYTES,
);
export const rerank = plain(
  ({ results }) => Array.isArray(results),
  promptCounts,
  (bodyBytes) => bodyBytes * BYTES_PER_BODY_BYTE + MAX_FRAME_BYTES,
);
export const countTokens = ofTokenRoute(({ input_tokens: tokens }) => count(tokens) !== null);
export const tokenize = ofTokenRoute(({ tokens }) => Array.isArray(tokens));
export const detokenize = ofTokenRoute(({ content }) => typeof content === "string");
export const applyTemplate = ofTokenRoute(({ prompt }) => typeof prompt === "string");
