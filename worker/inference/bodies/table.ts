// The bodies of all dialects, one row each: how a body is checked and what the edge reads from it.
import type * as z from "zod/mini";
import type { Dialect } from "../../../shared/dialects.ts";
import { ChatBody, chatFacts, TemplateBody, templateFacts } from "./chat.ts";
import { CompletionsBody, completionsFacts } from "./completions.ts";
import type { BodyFacts, TARGET } from "./fields.ts";
import { CountTokensBody, countTokensFacts, MessagesBody, messagesFacts } from "./messages.ts";
import { DetokenizeBody, EmbeddingsBody, plainFacts, RerankBody, TokenizeBody } from "./other.ts";
import { ResponsesBody, responsesFacts } from "./responses.ts";

/** The fields that every dialect has. */
export type Target = Readonly<{ [Name in keyof typeof TARGET]?: z.output<(typeof TARGET)[Name]> }>;

interface BodyRow {
  readonly schema: z.ZodMiniType<Target>;
  /** The field without which a body makes no sense. */
  readonly subject: string;
  /** @param body as `schema` returned it */
  readonly facts: (body: never) => BodyFacts;
}

function row<T extends Target>(
  schema: z.ZodMiniType<T>,
  subject: string & keyof T,
  facts: (body: T) => BodyFacts,
): BodyRow {
  return { schema, subject, facts };
}

export const BODIES: Readonly<Record<Dialect, BodyRow>> = {
  chat: row(ChatBody, "messages", chatFacts),
  completions: row(CompletionsBody, "prompt", completionsFacts),
  responses: row(ResponsesBody, "input", responsesFacts),
  messages: row(MessagesBody, "messages", messagesFacts),
  count_tokens: row(CountTokensBody, "messages", countTokensFacts),
  embeddings: row(EmbeddingsBody, "input", plainFacts),
  rerank: row(RerankBody, "query", plainFacts),
  tokenize: row(TokenizeBody, "content", plainFacts),
  detokenize: row(DetokenizeBody, "tokens", plainFacts),
  apply_template: row(TemplateBody, "messages", templateFacts),
};

/** Field names at any depth that a refusal may contain; other keys are the client's own. */
export const FIELD_NAMES: ReadonlySet<string> = new Set([
  ...[
    ChatBody,
    CompletionsBody,
    ResponsesBody,
    MessagesBody,
    EmbeddingsBody,
    RerankBody,
    TokenizeBody,
    DetokenizeBody,
    TemplateBody,
  ].flatMap(({ shape }) => Object.keys(shape)),
  ...(
    "role type text image_url url input_audio data name tool_calls tool_call_id function parameters properties " +
    "arguments description schema include_usage user_id source media_type input_schema format output"
  ).split(" "),
]);
