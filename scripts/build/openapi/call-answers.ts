// Schemas of the models' answers, in each dialect. They describe what clients read; llama-server's answers have more fields.
import { integer, list, named, nullable, object, ref, text, type Schema } from "./types.ts";

const usage = object({ prompt_tokens: integer, completion_tokens: integer, total_tokens: integer });
const finishReason = named("`stop`: complete; `length`: cut at the token limit; null until the last event.", {
  type: ["string", "null"],
  enum: ["stop", "length", "tool_calls", null],
});
const message = object({ role: text, content: nullable(text), tool_calls: list({ type: "object" }) }, [
  "tool_calls",
]);
const delta = object({ role: text, content: nullable(text), tool_calls: list({ type: "object" }) }, [
  "role",
  "content",
  "tool_calls",
]);

const isha = named("Who answered, and how the request was routed.", {
  ...object(
    {
      port: named("The port of the server that answered.", integer),
      box: named("Its machine.", text),
      agent_type: named(
        "The agent type that was used; `Default` if the requested one is unknown or none was named.",
        text,
      ),
      queue_ms: named("How long the call waited for its turn.", nullable(integer)),
      fallback_from: named("The requested port, if another server answered.", nullable(integer)),
    },
    ["agent_type"],
  ),
});

const head = {
  id: text,
  created: named("Seconds since 1970.", integer),
  model: named("The model's file.", text),
};

export const CALL_SCHEMAS: Readonly<Record<string, Schema>> = {
  MediczyAnswer: object({
    ...head,
    object: { const: "text_completion" },
    choices: list(
      object({
        index: integer,
        text: named("The answer. The same as `message.content`.", text),
        message,
        finish_reason: finishReason,
      }),
    ),
    usage,
    isha,
  }),
  MediczyEvent: object(
    {
      ...head,
      object: text,
      choices: list(
        object({
          index: integer,
          text: named("The next piece; never null.", text),
          delta,
          finish_reason: finishReason,
        }),
      ),
      usage: named("In the last event.", usage),
      isha: named("In the last event.", isha),
    },
    ["usage", "isha"],
  ),
  ChatCompletion: object({
    ...head,
    object: { const: "chat.completion" },
    choices: list(object({ index: integer, message, finish_reason: finishReason })),
    usage,
  }),
  ChatCompletionChunk: object(
    {
      ...head,
      object: { const: "chat.completion.chunk" },
      choices: list(object({ index: integer, delta, finish_reason: finishReason })),
      usage: named("In the last event, if `stream_options.include_usage` is true.", usage),
    },
    ["usage"],
  ),
  Completion: object({
    ...head,
    object: { const: "text_completion" },
    choices: list(object({ index: integer, text, finish_reason: finishReason })),
    usage,
  }),
  ResponseObject: object({
    id: text,
    object: { const: "response" },
    created_at: integer,
    status: text,
    model: text,
    output: list({
      type: "object",
      description: "Messages with `output_text` parts, and tool calls.",
      properties: { type: text },
      required: ["type"],
    }),
    usage: object({ input_tokens: integer, output_tokens: integer, total_tokens: integer }),
  }),
  Message: object({
    id: text,
    type: { const: "message" },
    role: { const: "assistant" },
    model: text,
    content: list({ type: "object", properties: { type: text, text }, required: ["type"] }),
    stop_reason: {
      type: ["string", "null"],
      enum: ["end_turn", "max_tokens", "stop_sequence", "tool_use", null],
    },
    stop_sequence: nullable(text),
    usage: object({ input_tokens: integer, output_tokens: integer }),
  }),
  TokenCount: object({ input_tokens: integer }),
  Embeddings: object({
    object: { const: "list" },
    model: text,
    data: list(
      object({
        object: { const: "embedding" },
        index: integer,
        embedding: { oneOf: [list({ type: "number" }), named("With `encoding_format: base64`.", text)] },
      }),
    ),
    usage: object({ prompt_tokens: integer, total_tokens: integer }),
  }),
  Rerank: object({
    object: { const: "list" },
    model: text,
    results: list(object({ index: integer, relevance_score: { type: "number" } })),
    usage: object({ prompt_tokens: integer, total_tokens: integer }),
  }),
  Tokens: object({ tokens: list({ type: ["integer", "object"] }) }),
  DetokenizedText: object({ content: text }),
  Prompt: object({ prompt: text }),
};

/** One event of a stream as its text; `event:` lines come before it in some dialects. */
export const eventStream = (event: string | null, description: string, example: string) => ({
  "text/event-stream": {
    schema:
      event === null
        ? { type: "string", description }
        : { type: "string", description, contentMediaType: "application/json", contentSchema: ref(event) },
    example,
  },
});
