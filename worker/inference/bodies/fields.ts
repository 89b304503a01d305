// Defines the fields that several dialects share, and what a reader of a body returns. Schemas are zod/mini's: a third of
// zod's size in the Worker, with messages of our own (`shared/field-fault.ts`).
import * as z from "zod/mini";
import type { Capability } from "../../../shared/fleet.ts";
import { MAX_LOGPROBS, MAX_MESSAGES, MAX_STOP_STRINGS } from "../../../shared/limits.ts";

/** Clients send null for an absent field; llama-server accepts null too. */
export const optional = <T extends z.ZodMiniType>(type: T) => z.nullish(type);

/** A number within bounds; the refusal states both. */
export const between = (low: number, high: number) => {
  const message = `must be from ${low} to ${high}`;
  return optional(z.number().check(z.gte(low, message), z.lte(high, message)));
};

export const integer = (low: number, high?: number) =>
  high === undefined
    ? z.int().check(z.gte(low, `must be ${low} or more`))
    : z
        .int()
        .check(z.gte(low, `must be from ${low} to ${high}`), z.lte(high, `must be from ${low} to ${high}`));

export const text = optional(z.string());
export const flag = optional(z.boolean());
export const object = optional(z.looseObject({}));
/** 0 and below mean no limit of the client's, as in llama-server. */
export const tokens = optional(z.int());

const PORT = "must be a port from 1 to 65535";

/** Which server is to answer: the same fields in every dialect. */
export const TARGET = {
  model: text,
  agent_type: text,
  model_port: optional(
    z.union([
      z.int().check(z.gte(1, PORT), z.lte(65_535, PORT)),
      z.string().check(
        z.regex(/^\d{1,5}$/, PORT),
        z.refine((port) => Number(port) >= 1 && Number(port) <= 65_535, PORT),
      ),
    ]),
  ),
  fallback: flag,
};

/** Of the client's end user or conversation, in their order of precedence. */
export const SCOPE = {
  prompt_cache_key: text,
  session_id: text,
  user: text,
  safety_identifier: text,
  metadata: object,
};

/** llama-server's own ranges, where it has some; beyond them it fails or answers nonsense. */
export const SAMPLING = {
  temperature: between(0, 5),
  top_p: between(0, 1),
  min_p: between(0, 1),
  typical_p: between(0, 1),
  top_k: optional(integer(-1)),
  presence_penalty: between(-2, 2),
  frequency_penalty: between(-2, 2),
  repeat_penalty: between(0, 10),
  repeat_last_n: optional(integer(-1)),
  seed: optional(z.int()),
  ignore_eos: flag,
  logit_bias: optional(z.union([z.looseObject({}), z.array(z.unknown())])),
  n_probs: optional(integer(0, MAX_LOGPROBS)),
  grammar: text,
  json_schema: object,
};

export const STOP = optional(z.union([z.string(), z.array(z.string()).check(z.maxLength(MAX_STOP_STRINGS))]));

export const RESPONSE_FORMAT = optional(
  z.looseObject({
    type: z.enum(["text", "json_object", "json_schema"]),
    schema: object,
    json_schema: object,
  }),
);

const dataUrl = z
  .string()
  .check(z.regex(/^data:/, "must be a data: URL; this service fetches nothing from other servers"));

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const imagePart = z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: dataUrl }) });
const audioPart = z.looseObject({
  type: z.literal("input_audio"),
  input_audio: z.looseObject({ data: z.string(), format: z.string() }),
});
const content = z.union([
  z.string(),
  z.array(z.discriminatedUnion("type", [textPart, imagePart, audioPart])).check(z.minLength(1)),
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

/** OpenAI's messages. */
export const MESSAGES = z.array(message).check(z.minLength(1), z.maxLength(MAX_MESSAGES));
type Messages = z.output<typeof MESSAGES>;

const FUNCTION = z.looseObject({ name: z.string().check(z.minLength(1)), parameters: object });
/** OpenAI's tools of a chat. */
export const TOOLS = optional(z.array(z.looseObject({ type: z.literal("function"), function: FUNCTION })));
export const TOOL_CHOICE = optional(
  z.union([z.enum(["none", "auto", "required"]), z.looseObject({})], {
    error: "must be none, auto, required, or an object that names a function",
  }),
);

/** What a call needs, and the field because of which it does. */
export interface Need {
  readonly capability: Capability;
  readonly param: string;
}

/** What the edge reads from a body of any dialect. */
export interface BodyFacts {
  readonly stream: boolean;
  /** Answers requested at once; each takes a slot. */
  readonly choices: number;
  readonly choicesParam: string;
  /** Requested tokens; null for the model's maximum. */
  readonly maxTokens: number | null;
  /** Whether another server of the model could continue the answer: only plain text can be. */
  readonly continuable: boolean;
  readonly needs: readonly Need[];
  /** Fields that llama-server may refuse although they passed here. */
  readonly suspects: readonly string[];
  readonly scopeName: string | null;
}

export const PLAIN: BodyFacts = {
  stream: false,
  choices: 1,
  choicesParam: "n",
  maxTokens: null,
  continuable: false,
  needs: [],
  suspects: [],
  scopeName: null,
};

type ScopeBody = Readonly<{ [Name in keyof typeof SCOPE]?: z.output<(typeof SCOPE)[Name]> }>;

/** The first of these fields that is present and not empty. */
export function scopeNameOf(body: ScopeBody): string | null {
  const user = body.metadata?.["user_id"];
  const names = [
    body.prompt_cache_key,
    body.session_id,
    body.user,
    body.safety_identifier,
    typeof user === "string" ? user : null,
  ];
  return names.find((name) => name != null && name !== "") ?? null;
}

/** llama-server's precedence: `n_predict`, then OpenAI's newer name, then its older one (transcript `max-tokens-aliases`). */
export function requestedTokens(...values: readonly (number | null | undefined)[]): number | null {
  const requested = values.find((value) => value != null) ?? null;
  return requested !== null && requested > 0 ? requested : null;
}

/** The first content part of each media type. */
export function mediaOf(messages: Messages): Need[] {
  const found = new Map<Capability, string>();
  for (const [index, { content: parts }] of messages.entries()) {
    if (!Array.isArray(parts)) continue;
    for (const [part, { type }] of parts.entries()) {
      const capability = MEDIA[type];
      if (capability !== undefined && !found.has(capability))
        found.set(capability, `messages[${index}].content[${part}]`);
    }
  }
  return [...found].map(([capability, param]) => ({ capability, param }));
}

const MEDIA: Readonly<Record<string, Capability>> = { image_url: "vision", input_audio: "audio" };

interface Constrained {
  readonly tools?: readonly unknown[] | null | undefined;
  readonly response_format?: { readonly type: string } | null | undefined;
  readonly json_schema?: object | null | undefined;
  readonly grammar?: string | null | undefined;
}

/** The fields by which an answer is bound to tools or to a schema. */
export function constraintsOf(body: Constrained): string[] {
  return [
    ...((body.tools ?? []).length > 0 ? ["tools"] : []),
    ...(body.response_format != null && body.response_format.type !== "text" ? ["response_format"] : []),
    ...(body.json_schema == null ? [] : ["json_schema"]),
    ...(body.grammar == null ? [] : ["grammar"]),
  ];
}

export function needsOf(constraints: readonly string[]): Need[] {
  return constraints.map((param) => ({ capability: param === "tools" ? "tools" : "json_schema", param }));
}
