// The body of POST /v1/responses: OpenAI's Responses API as far as llama-server has it. It keeps nothing between calls.
import * as z from "zod/mini";
import { MAX_MESSAGES } from "../../../shared/limits.ts";
import {
  flag,
  object,
  optional,
  PLAIN,
  requestedTokens,
  SAMPLING,
  SCOPE,
  scopeNameOf,
  TARGET,
  text,
  tokens,
  TOOL_CHOICE,
  type BodyFacts,
  type Need,
} from "./fields.ts";

const KEEPS_NOTHING = "is not supported: this service keeps no answers; send the whole conversation in input";
const NO_SCHEMA =
  "must have the type text: llama-server ignores schemas on this route; use response_format of POST /v1/chat/completions";

const part = z.looseObject({
  type: z.enum(["input_text", "input_image", "output_text", "refusal"]),
  text: optional(z.string()),
  image_url: optional(
    z
      .string()
      .check(z.regex(/^data:/, "must be a data: URL; this service fetches nothing from other servers")),
  ),
});
const item = z.looseObject({
  type: optional(z.enum(["message", "function_call", "function_call_output", "reasoning"])),
  role: optional(z.enum(["system", "developer", "user", "assistant"])),
  content: optional(z.union([z.string(), z.array(part)])),
});

export const ResponsesBody = z.looseObject({
  input: z.union([z.string(), z.array(item).check(z.minLength(1), z.maxLength(MAX_MESSAGES))]),
  ...TARGET,
  ...SAMPLING,
  ...SCOPE,
  instructions: text,
  stream: flag,
  max_output_tokens: tokens,
  n_predict: tokens,
  tools: optional(
    z.array(
      z.looseObject({
        type: z.literal("function"),
        name: z.string().check(z.minLength(1)),
        parameters: object,
      }),
    ),
  ),
  tool_choice: TOOL_CHOICE,
  parallel_tool_calls: flag,
  text: optional(z.looseObject({ format: optional(z.looseObject({ type: z.literal("text", NO_SCHEMA) })) })),
  reasoning: object,
  previous_response_id: optional(z.literal("", KEEPS_NOTHING)),
  conversation: optional(z.literal("", KEEPS_NOTHING)),
  store: optional(z.literal(false, "must be false or absent: this service keeps no answers")),
  background: optional(
    z.literal(false, "must be false or absent: an answer is sent to the open connection only"),
  ),
});
type ResponsesBody = z.output<typeof ResponsesBody>;

export function responsesFacts(body: ResponsesBody): BodyFacts {
  const tools: Need[] = (body.tools ?? []).length > 0 ? [{ capability: "tools", param: "tools" }] : [];
  return {
    ...PLAIN,
    stream: body.stream ?? false,
    maxTokens: requestedTokens(body.n_predict, body.max_output_tokens),
    needs: [...tools, ...imageOf(body)],
    suspects: tools.map(({ param }) => param),
    scopeName: scopeNameOf(body),
  };
}

function imageOf({ input }: ResponsesBody): Need[] {
  if (typeof input === "string") return [];
  for (const [index, { content }] of input.entries()) {
    if (!Array.isArray(content)) continue;
    const at = content.findIndex(({ type }) => type === "input_image");
    if (at >= 0) return [{ capability: "vision", param: `input[${index}].content[${at}]` }];
  }
  return [];
}
