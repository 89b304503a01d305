// A playground's question as the API takes it, and the curl that asks the same.
import type { Target } from "./targets.ts";

export interface Question {
  readonly target: Target;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stream: boolean;
  /** Whether another model may answer. */
  readonly fallback: boolean;
}

export const CHAT_PATH = "/v1/chat/completions";

export function chatBody({ target, prompt, maxTokens, stream, fallback }: Question): Record<string, unknown> {
  return {
    ...addressed(target),
    messages: [{ role: "user", content: prompt }],
    max_tokens: maxTokens,
    ...(stream ? { stream: true } : {}),
    // OpenAI's format tells a stream's tokens only where they are asked for.
    ...(stream && target.kind === "model" ? { stream_options: { include_usage: true } } : {}),
    ...(fallback ? {} : { fallback: false }),
  };
}

function addressed(target: Target): Record<string, unknown> {
  if (target.kind === "agent") return { agent_type: target.name };
  return target.kind === "port" ? { model_port: target.port } : { model: target.name };
}

/** The same question for a terminal. The key stays out of it: `$ISHA_KEY` stands in its place. */
export function curlOf(origin: string, question: Question): string {
  const body = JSON.stringify(chatBody(question)).replaceAll("'", String.raw`'\''`);
  return [
    `curl ${question.stream ? "-N " : ""}${origin}${CHAT_PATH} \\`,
    `  -H "Authorization: Bearer $ISHA_KEY" -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ].join("\n");
}
