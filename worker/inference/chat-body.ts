// What a chat request may hold: the fields we read or that llama-server would trip over, by type and bound.
// Other fields pass. A fault is told by its path, what was expected and what came; never by its value.
import * as z from "zod";
import { refuse, ok, type Result } from "../../shared/errors.ts";
import { fieldPath } from "../../shared/fleet.ts";
import { FORMATS } from "../../shared/call-headers.ts";
import { MAX_LOGPROBS, MAX_MESSAGES, MAX_STOP_STRINGS } from "../../shared/limits.ts";
import type { JsonObject } from "../http/json-body.ts";

/** OpenAI's clients send null for "not set"; llama-server takes null so too. */
const optional = <T extends z.ZodType>(type: T) => type.nullish();

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const dataUrl = z.string().regex(/^data:/, "only data: URLs; this service fetches nothing from elsewhere");
const imagePart = z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: dataUrl }) });
const audioPart = z.looseObject({
  type: z.literal("input_audio"),
  input_audio: z.looseObject({ data: z.string(), format: z.string() }),
});
const content = z.union([
  z.string(),
  z.array(z.discriminatedUnion("type", [textPart, imagePart, audioPart])).min(1),
]);

const spoken = z.looseObject({ role: z.enum(["system", "developer", "user", "tool", "function"]), content });
const assistant = z.looseObject({
  role: z.literal("assistant"),
  content: optional(content),
  tool_calls: optional(z.array(z.looseObject({}))),
});
const message = z.discriminatedUnion("role", [spoken, assistant]);

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
    z.union([z.int().min(1).max(65_535), z.string().regex(/^\d{1,5}$/, "a port: a whole number")]),
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

/** The names that a refusal may repeat, of fields at any depth: ours, never a key of the client's own making. */
export const FIELD_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(ChatBody.shape),
  ...(
    "role content type text image_url url input_audio data name tool_calls tool_call_id function parameters " +
    "properties arguments description schema include_usage user_id"
  ).split(" "),
]);

/** Fields of llama-server's that reach past one call: into its cache, its log, its adapters or its protocol. */
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

/** Checks a body; the refusal names the first field that is wrong. */
export function checkChatBody(body: JsonObject): Result<ChatBody> {
  for (const [name, value] of Object.entries(body)) {
    if (value !== null && (REFUSED.includes(name) || name.startsWith("speculative."))) {
      return refuse(
        "invalid_request",
        `The field "${REFUSED.includes(name) ? name : "speculative.*"}" is not taken here. Leave it out.`,
        {
          param: REFUSED.includes(name) ? name : "speculative",
        },
      );
    }
  }
  const parsed = ChatBody.safeParse(body);
  if (parsed.success) return ok(parsed.data);
  const issue = deepest(parsed.error.issues[0]);
  const param = issue.path.length === 0 ? "messages" : fieldPath(issue.path);
  return refuse(
    "invalid_request",
    `${param}: ${wanted(issue)}; it is ${kindOf(valueAt(body, issue.path))}.`,
    { param },
  );
}

type Issue = z.core.$ZodIssue;

/** A union's own issue says "invalid input"; its branches know better. */
function deepest(issue: Issue | undefined): Issue {
  if (issue === undefined)
    return { code: "custom", path: [], message: "must have another shape", input: undefined };
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const branches = issue.errors.flatMap((branch) => branch.slice(0, 1)).map(deepest);
  // A branch that got past the type found what is really wrong; of several, the one deepest inside.
  const inside = branches.filter((branch) => branch.path.length > 0 || branch.code !== "invalid_type");
  const [first] = inside.toSorted((a, b) => b.path.length - a.path.length);
  if (first !== undefined) return { ...first, path: [...issue.path, ...first.path] };
  const types = branches.flatMap((branch) =>
    branch.code === "invalid_type" ? [article(branch.expected)] : [],
  );
  return { code: "custom", path: issue.path, message: `must be ${types.join(" or ")}`, input: undefined };
}

function wanted(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${article(issue.expected)}`;
    case "invalid_value":
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "too_small":
      return issue.origin === "array" ? "must not be empty" : `must be at least ${issue.minimum}`;
    case "too_big":
      return issue.origin === "array"
        ? `must have at most ${issue.maximum} entries`
        : `must be at most ${issue.maximum}`;
    case "invalid_union":
      return issue.discriminator === undefined
        ? "has none of the shapes there are"
        : `must have a "${issue.discriminator}" that is known`;
    default:
      return issue.message;
  }
}

function article(type: string): string {
  if (type === "int") return "a whole number";
  if (type === "record") return "an object";
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null
        ? (value as Readonly<Record<PropertyKey, unknown>>)[key]
        : undefined,
    body,
  );
}

/** The kind of a value, never the value. */
function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (typeof value === "number") return Number.isInteger(value) ? "a whole number" : "a fraction";
  if (typeof value === "string") return value === "" ? "an empty string" : "another string";
  return article(typeof value);
}
