// The routes of model calls as operations: one row per dialect that some server of the fleet can serve.
import { DIALECTS, DIALECT_NAMES, type Dialect } from "../../../shared/dialects.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { CALL_HEADERS } from "./headers.ts";
import { eventStream } from "./call-answers.ts";
import { bodyOf } from "./call-bodies.ts";
import { ANSWER, mediczyExample, mediczyStream, type ExampleNames } from "./call-examples.ts";
import { json, ref, type Answer, type Content, type Operation } from "./types.ts";

/** What differs from dialect to dialect. */
interface CallText {
  readonly summary: string;
  readonly description: string;
  readonly example: (names: ExampleNames) => object;
  readonly answers: (names: ExampleNames) => Readonly<Record<string, Content>>;
}

const QUESTION = [{ role: "user", content: "Patient complaint: chest pain" }];

const TEXTS: Readonly<Record<Dialect, CallText>> = {
  chat: {
    summary: "Answer a conversation",
    description:
      "The main route. `model_port`, `agent_type` or `model` selects the model, in this order. The answer is in Mediczy's format if the body has `agent_type` or `model_port` or no `model`, otherwise in OpenAI's; `format` selects one.",
    example: ({ agent }) => ({ agent_type: agent, stream: true, max_tokens: 200, messages: QUESTION }),
    answers: (names) => ({
      "application/json": {
        schema: { anyOf: [ref("MediczyAnswer"), ref("ChatCompletion")] },
        example: mediczyExample(names),
      },
      "text/event-stream": {
        schema: {
          type: "string",
          description: "One event per piece, then `data: [DONE]`.",
          contentMediaType: "application/json",
          contentSchema: { anyOf: [ref("MediczyEvent"), ref("ChatCompletionChunk")] },
        },
        example: mediczyStream(names),
      },
    }),
  },
  completions: {
    summary: "Continue a text",
    description:
      "OpenAI's older route: the model continues `prompt`. A list of prompts takes one slot for each.",
    example: ({ model }) => ({ model, prompt: "Chest pain can be caused by", max_tokens: 60 }),
    answers: ({ file }) => ({
      ...json(ref("Completion"), {
        id: "chatcmpl-7dVfFVw3",
        object: "text_completion",
        created: 1769206284,
        model: file,
        choices: [{ index: 0, text: " many conditions.", finish_reason: "stop" }],
        usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
      }),
      ...eventStream(
        "Completion",
        "One event per piece, then `data: [DONE]`.",
        "data: {…}\n\ndata: [DONE]\n\n",
      ),
    }),
  },
  responses: {
    summary: "Answer in the form of OpenAI's Responses API",
    description:
      "What OpenAI's SDKs call `responses.create`. Nothing is stored, so `previous_response_id` doesn't work: send the conversation in `input`.",
    example: ({ agent }) => ({
      model: agent,
      input: "Patient complaint: chest pain",
      max_output_tokens: 200,
    }),
    answers: ({ file }) => ({
      ...json(ref("ResponseObject"), {
        id: "resp_ZfcKOKMk",
        object: "response",
        created_at: 1769206284,
        status: "completed",
        model: file,
        output: [
          {
            type: "message",
            id: "msg_8yfDJd8B",
            role: "assistant",
            status: "completed",
            content: [{ type: "output_text", text: ANSWER, annotations: [] }],
          },
        ],
        usage: { input_tokens: 18, output_tokens: 8, total_tokens: 26 },
      }),
      ...eventStream(
        null,
        "Named events, as OpenAI's Responses API sends them. `response.output_text.delta` has the text.",
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_gaQFS8dy","delta":"Chest"}\n\n',
      ),
    }),
  },
  messages: {
    summary: "Answer in the form of Anthropic's Messages API",
    description:
      "What Anthropic's SDKs call `messages.create`. `max_tokens` is required. Errors have Anthropic's form.",
    example: ({ agent }) => ({ model: agent, max_tokens: 200, messages: QUESTION }),
    answers: ({ file }) => ({
      ...json(ref("Message"), {
        id: "chatcmpl-YK9LwAur",
        type: "message",
        role: "assistant",
        model: file,
        content: [{ type: "text", text: ANSWER }],
        stop_reason: "end_turn",
        stop_sequence: null,
        usage: { input_tokens: 18, output_tokens: 8 },
      }),
      ...eventStream(
        null,
        "Named events, as Anthropic's API sends them. `content_block_delta` has the text; `message_stop` ends the stream.",
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Chest"}}\n\n',
      ),
    }),
  },
  count_tokens: {
    summary: "Count the tokens of a Messages request",
    description: "Takes the body of `/v1/messages` and returns its number of tokens. No answer is generated.",
    example: ({ agent }) => ({ model: agent, messages: QUESTION }),
    answers: () => json(ref("TokenCount"), { input_tokens: 18 }),
  },
  embeddings: {
    summary: "Turn texts into vectors",
    description: "Takes a text or a list of texts and returns one vector for each.",
    example: ({ embedder }) => ({ model: embedder, input: ["chest pain", "invoice"] }),
    answers: ({ embedder }) =>
      json(ref("Embeddings"), {
        object: "list",
        model: embedder,
        data: [{ object: "embedding", index: 0, embedding: [0.26, 0.02, -0.04] }],
        usage: { prompt_tokens: 4, total_tokens: 4 },
      }),
  },
  rerank: {
    summary: "Order documents by how well they fit a query",
    description: "Returns a score for each document. Higher is better.",
    example: ({ reranker }) => ({ model: reranker, query: "chest", documents: ["chest pain", "invoice"] }),
    answers: ({ reranker }) =>
      json(ref("Rerank"), {
        object: "list",
        model: reranker,
        results: [
          { index: 0, relevance_score: 1.74 },
          { index: 1, relevance_score: -0.37 },
        ],
        usage: { prompt_tokens: 11, total_tokens: 11 },
      }),
  },
  tokenize: {
    summary: "Turn a text into tokens",
    description: "Returns the model's tokens of a text.",
    example: ({ model }) => ({ model, content: "chest pain" }),
    answers: () => json(ref("Tokens"), { tokens: [22172, 3186] }),
  },
  detokenize: {
    summary: "Turn tokens into a text",
    description: "The reverse of `/tokenize`.",
    example: ({ model }) => ({ model, tokens: [22172, 3186] }),
    answers: () => json(ref("DetokenizedText"), { content: "chest pain" }),
  },
  apply_template: {
    summary: "Show the prompt of a conversation",
    description:
      "Returns the text that the model would read, after its chat template. No answer is generated.",
    example: ({ model }) => ({ model, messages: QUESTION }),
    answers: () =>
      json(ref("Prompt"), { prompt: "<|im_start|>user\nPatient complaint: chest pain<|im_end|>\n" }),
  },
};

/** The dialects that some server of the fleet can serve. */
export function servedDialects(fleet: FleetConfig): Dialect[] {
  const capabilities = new Set(
    fleet.boxes.flatMap(({ servers }) => servers.flatMap((server) => server.capabilities)),
  );
  return DIALECT_NAMES.filter((dialect) => capabilities.has(DIALECTS[dialect].capability));
}

const NO_RETRY_STATUSES = [400, 401, 403, 404, 408, 413, 415];
const CALL_ERRORS = [...NO_RETRY_STATUSES, 429, 500, 502, 503, 504];

export function callOperations(fleet: FleetConfig, names: ExampleNames): Operation[] {
  return servedDialects(fleet).map((dialect): Operation => {
    const { path, errors } = DIALECTS[dialect];
    const { summary, description, example, answers } = TEXTS[dialect];
    const answer: Answer = { status: 200, description: "The answer.", content: answers(names) };
    return {
      method: "post",
      path,
      id: dialect,
      tag: "Models",
      summary,
      description,
      scope: "infer",
      body: { required: true, schema: bodyOf(dialect), example: example(names) },
      answers: [answer],
      errors: CALL_ERRORS,
      errorShape: errors,
      headers: CALL_HEADERS,
    };
  });
}
