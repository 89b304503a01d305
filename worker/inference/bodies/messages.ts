// The bodies of POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages API as far as llama-server has it.
import * as z from "zod/mini";
import { MAX_MESSAGES, MAX_STOP_STRINGS } from "../../../shared/limits.ts";
import {
  between,
  flag,
  integer,
  object,
  optional,
  PLAIN,
  scopeNameOf,
  TARGET,
  type BodyFacts,
  type Need,
} from "./fields.ts";

const ROLES =
  "must be user or assistant; the system prompt belongs in the field system (OpenAI's messages: POST /v1/chat/completions)";

const source = z.looseObject({
  type: z.literal("base64", 'must be "base64": this service fetches nothing from other servers'),
  media_type: z.string(),
  data: z.string(),
});
const block = z.looseObject({
  type: z.enum(["text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"]),
  text: optional(z.string()),
  source: optional(source),
});
const message = z.looseObject({
  role: z.enum(["user", "assistant"], ROLES),
  content: z.union([z.string(), z.array(block)]),
});
const systemBlock = z.looseObject({ type: z.literal("text"), text: z.string() });
const tool = z.looseObject({
  type: optional(z.literal("custom", "must be custom or absent: this service runs no tools of its own")),
  name: z.string().check(z.minLength(1)),
  input_schema: object,
});

const CONVERSATION = {
  messages: z.array(message).check(z.minLength(1), z.maxLength(MAX_MESSAGES)),
  ...TARGET,
  system: optional(z.union([z.string(), z.array(systemBlock)])),
  tools: optional(z.array(tool)),
  tool_choice: optional(z.looseObject({ type: z.enum(["auto", "any", "tool", "none"]) })),
  thinking: object,
};

export const MessagesBody = z.looseObject({
  ...CONVERSATION,
  /** llama-server takes no other cap on this route (transcript `isolation-messages`). */
  max_tokens: integer(1),
  stream: flag,
  temperature: between(0, 5),
  top_p: between(0, 1),
  top_k: optional(integer(-1)),
  stop_sequences: optional(z.array(z.string()).check(z.maxLength(MAX_STOP_STRINGS))),
  metadata: object,
});

export const CountTokensBody = z.looseObject(CONVERSATION);

export function messagesFacts(body: z.output<typeof MessagesBody>): BodyFacts {
  return {
    ...countTokensFacts(body),
    stream: body.stream ?? false,
    maxTokens: body.max_tokens,
    scopeName: scopeNameOf({ metadata: body.metadata }),
  };
}

export function countTokensFacts(body: z.output<typeof CountTokensBody>): BodyFacts {
  const tools: Need[] = (body.tools ?? []).length > 0 ? [{ capability: "tools", param: "tools" }] : [];
  return { ...PLAIN, needs: [...tools, ...imageOf(body)], suspects: tools.map(({ param }) => param) };
}

function imageOf({ messages }: z.output<typeof CountTokensBody>): Need[] {
  for (const [index, { content }] of messages.entries()) {
    if (typeof content === "string") continue;
    const at = content.findIndex(({ type }) => type === "image");
    if (at >= 0) return [{ capability: "vision", param: `messages[${index}].content[${at}]` }];
  }
  return [];
}
