// The body of POST /v1/completions: a prompt, a list of prompts, or prompts as tokens.
import * as z from "zod/mini";
import { MAX_LOGPROBS } from "../../../shared/limits.ts";
import {
  constraintsOf,
  flag,
  integer,
  needsOf,
  object,
  optional,
  PLAIN,
  requestedTokens,
  RESPONSE_FORMAT,
  SAMPLING,
  SCOPE,
  scopeNameOf,
  STOP,
  TARGET,
  tokens,
  type BodyFacts,
} from "./fields.ts";

const NO_ECHO = "is not supported by llama-server; leave it out or set it to false";

/** An element of a list: a prompt as text, a token, or a prompt as tokens. */
const element = z.union([z.string(), z.int(), z.array(z.union([z.string(), z.int()]))]);

export const CompletionsBody = z.looseObject({
  prompt: z.union([z.string(), z.array(element).check(z.minLength(1))]),
  ...TARGET,
  ...SAMPLING,
  ...SCOPE,
  stream: flag,
  stream_options: object,
  n: optional(integer(1)),
  max_tokens: tokens,
  n_predict: tokens,
  stop: STOP,
  logprobs: optional(integer(0, MAX_LOGPROBS)),
  response_format: RESPONSE_FORMAT,
  echo: optional(z.literal(false, NO_ECHO)),
  suffix: optional(z.literal("", "is not supported by llama-server; leave it out")),
});
type CompletionsBody = z.output<typeof CompletionsBody>;

export function completionsFacts(body: CompletionsBody): BodyFacts {
  const constraints = constraintsOf(body);
  const prompts = promptsOf(body.prompt);
  return {
    ...PLAIN,
    stream: body.stream ?? false,
    choices: (body.n ?? 1) * prompts,
    choicesParam: prompts > 1 ? "prompt" : "n",
    maxTokens: requestedTokens(body.n_predict, body.max_tokens),
    continuable:
      typeof body.prompt === "string" &&
      (body.n ?? 1) === 1 &&
      constraints.length === 0 &&
      (body.logprobs ?? 0) === 0 &&
      (body.n_probs ?? 0) === 0,
    needs: needsOf(constraints),
    suspects: constraints,
    scopeName: scopeNameOf(body),
  };
}

/** A list of texts or of lists has a prompt in each; a list with tokens is one prompt (transcript `completions-prompt-list`). */
function promptsOf(prompt: CompletionsBody["prompt"]): number {
  const isList = Array.isArray(prompt) && prompt.every((one) => typeof one !== "number");
  return isList ? prompt.length : 1;
}
