// Validates a chat request: the fields that we read, and those that llama-server would fail on. Other fields pass. A
// refusal names the wrong field and the expected value, and never contains a text of the client.
import * as z from "zod";
import { refuse, ok, type Result } from "../../shared/errors.ts";
import { fieldPath } from "../../shared/fleet.ts";
import { FORMATS } from "../../shared/call-headers.ts";
import { MAX_LOGPROBS, MAX_MESSAGES, MAX_STOP_STRINGS } from "../../shared/limits.ts";
import { fieldFault } from "../http/field-fault.ts";
import type { JsonObject } from "../http/json-body.ts";

/** OpenAI's clients send null for an absent field; llama-server accepts null too. */
const optional = <T extends z.ZodType>(type: T) => type.nullish();

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const dataUrl = z
  .string()
  .regex(/^data:/, "must be a data: URL; this service fetches nothing from other servers");
const imagePart = z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: dataUrl }) });
const audioPart = z.looseObject({
  type: z.literal("input_audio"),
  input_audio: z.looseObject({ data: z.string(), format: z.string() }),
});
const content = z.union([
  z.string(),
  z.array(z.discriminatedUnion("type", [textPart, imagePart, audioPart])).min(1),
]);

const textMessage = z.looseObject({
  role: z.enum(["system", "developer", "user", "tool", "function"]),
  content,
});
const assistant = z.looseObject({
  role: z.literal("assistant"),
  content: optional(content),
  tool_calls: optional(z.array(z.looseObject({}))),
});
const message = z.discriminatedUnion("role", [textMessage, assistant], {
  // Without `function`, which is deprecated.
  error: ({ code }) =>
    code === "invalid_union" ? "must be one of system, developer, user, assistant, tool" : undefined,
});

const tokens = optional(z.int());
const fraction = optional(z.number());
const text = optional(z.string());
const flag = optional(z.boolean());
const object = optional(z.looseObject({}));

const ChatBody = z.looseObject({
  messages: z.array(message).min(1).max(MAX_MESSAGES),
  model: text,
  agent_type: text,
  model_port: optional(
    z.union([z.int().min(1).max(65_535), z.string().regex(/^\d{1,5}$/, "must be a port from 1 to 65535")]),
  ),
  format: optional(z.enum(FORMATS)),
  fallback: flag,
  stream: flag,
  stream_options: object,
  n: optional(z.int().min(1)),
  max_tokens: tokens,
  max_completion_tokens: tokens,
  n_predict: tokens,
  temperature: fraction,
  top_p: fraction,
  top_k: tokens,
  min_p: fraction,
  typical_p: fraction,
  presence_penalty: fraction,
  frequency_penalty: fraction,
  repeat_penalty: fraction,
  repeat_last_n: tokens,
  seed: tokens,
  stop: optional(z.union([z.string(), z.array(z.string()).max(MAX_STOP_STRINGS)])),
  logprobs: flag,
  top_logprobs: optional(z.int().min(0).max(MAX_LOGPROBS)),
  n_probs: optional(z.int().min(0).max(MAX_LOGPROBS)),
  ignore_eos: flag,
  tools: optional(z.array(z.looseObject({}))),
  tool_choice: optional(z.union([z.string(), z.looseObject({})])),
  parallel_tool_calls: flag,
  response_format: optional(z.looseObject({ type: z.string() })),
  json_schema: object,
  grammar: text,
  logit_bias: optional(z.union([z.looseObject({}), z.array(z.unknown())])),
  user: text,
  session_id: text,
  prompt_cache_key: text,
  safety_identifier: text,
  metadata: object,
});
export type ChatBody = z.output<typeof ChatBody>;

/** Field names at any depth that a refusal may contain; other keys are the client's own. */
export const FIELD_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(ChatBody.shape),
  ...(
    "role content type text image_url url input_audio data name tool_calls tool_call_id function parameters " +
    "properties arguments description schema include_usage user_id"
  ).split(" "),
]);

/** Fields of llama-server that affect more than one call: its cache, its log, its adapters or its protocol. */
const REFUSED = [
  "lora",
  "n_cache_reuse",
  "n_keep",
  "n_discard",
  "verbose",
  "return_tokens",
  "chat_format",
  "chat_parser",
  "sse_ping_interval",
];

/** Validates a body; the refusal names the first wrong field. */
export function checkChatBody(body: JsonObject): Result<ChatBody> {
  for (const [name, value] of Object.entries(body)) {
    if (value !== null && (REFUSED.includes(name) || name.startsWith("speculative."))) {
      const param = REFUSED.includes(name) ? name : "speculative";
      return refuse("invalid_request", `${param}: is not accepted by this service. Remove it.`, { param });
    }
  }
  const parsed = ChatBody.safeParse(body);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  if (issue === undefined) return refuse("invalid_request", "The body is invalid.");
  const { path, message } = fieldFault(issue, body);
  const param = path.length === 0 ? "messages" : fieldPath(path);
  return refuse("invalid_request", `${param}: ${message}.`, { param });
}
