// The bodies of the routes that generate no text: embeddings, rerank, tokenize, detokenize.
import * as z from "zod/mini";
import { flag, integer, optional, PLAIN, SCOPE, TARGET, type BodyFacts } from "./fields.ts";

/** Texts in one call: llama-server processes them one after another on the slots it has. */
const MAX_INPUTS = 256;

const input = z.union([z.string(), z.int(), z.array(z.int())]);

export const EmbeddingsBody = z.looseObject({
  input: z.union([z.string(), z.array(input).check(z.minLength(1), z.maxLength(MAX_INPUTS))]),
  ...TARGET,
  user: SCOPE.user,
  encoding_format: optional(z.enum(["float", "base64"])),
});

export const RerankBody = z.looseObject({
  query: z.string(),
  documents: z.array(z.string()).check(z.minLength(1), z.maxLength(MAX_INPUTS)),
  ...TARGET,
  top_n: optional(integer(1)),
});

export const TokenizeBody = z.looseObject({
  content: z.union([z.string(), z.array(z.union([z.string(), z.int()]))]),
  ...TARGET,
  add_special: flag,
  parse_special: flag,
  with_pieces: flag,
});

export const DetokenizeBody = z.looseObject({ tokens: z.array(integer(0)), ...TARGET });

export function plainFacts(): BodyFacts {
  return PLAIN;
}
