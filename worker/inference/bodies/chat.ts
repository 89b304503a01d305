// The body of POST /v1/chat/completions, and of /apply-template, which takes the same messages and generates nothing.
import * as z from "zod/mini";
import { FORMATS } from "../../../shared/call-headers.ts";
import { MAX_LOGPROBS } from "../../../shared/limits.ts";
import {
  constraintsOf,
  flag,
  integer,
  mediaOf,
  MESSAGES,
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
  TOOL_CHOICE,
  TOOLS,
  type BodyFacts,
} from "./fields.ts";

export const ChatBody = z.looseObject({
  messages: MESSAGES,
  ...TARGET,
  ...SAMPLING,
  ...SCOPE,
  format: optional(z.enum(FORMATS)),
  stream: flag,
  stream_options: object,
  n: optional(integer(1)),
  max_tokens: tokens,
  max_completion_tokens: tokens,
  n_predict: tokens,
  stop: STOP,
  logprobs: flag,
  top_logprobs: optional(integer(0, MAX_LOGPROBS)),
  tools: TOOLS,
  tool_choice: TOOL_CHOICE,
  parallel_tool_calls: flag,
  response_format: RESPONSE_FORMAT,
});
type ChatBody = z.output<typeof ChatBody>;

export function chatFacts(body: ChatBody): BodyFacts {
  const constraints = constraintsOf(body);
  return {
    ...PLAIN,
    stream: body.stream ?? false,
    choices: body.n ?? 1,
    maxTokens: requestedTokens(body.n_predict, body.max_completion_tokens, body.max_tokens),
    continuable: isPlainText(body, constraints),
    needs: [...needsOf(constraints), ...mediaOf(body.messages)],
    suspects: constraints,
    scopeName: scopeNameOf(body),
  };
}

function isPlainText(body: ChatBody, constraints: readonly string[]): boolean {
  return (
    (body.n ?? 1) === 1 &&
    constraints.length === 0 &&
    body.logprobs !== true &&
    (body.top_logprobs ?? 0) === 0 &&
    (body.n_probs ?? 0) === 0
  );
}

export const TemplateBody = z.looseObject({
  messages: MESSAGES,
  ...TARGET,
  tools: TOOLS,
  tool_choice: TOOL_CHOICE,
});

export function templateFacts(body: z.output<typeof TemplateBody>): BodyFacts {
  return { ...PLAIN, needs: mediaOf(body.messages), suspects: constraintsOf(body) };
}
