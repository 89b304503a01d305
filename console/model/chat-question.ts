// The playground's request: its body, and the same request as a curl command.
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
    ...targetFields(target),
    messages: [{ role: "user", content: prompt }],
    max_tokens: maxTokens,
    ...(stream ? { stream: true } : {}),
    // In OpenAI's format a stream contains token counts only on request.
    ...(stream && target.kind === "model" ? { stream_options: { include_usage: true } } : {}),
    ...(fallback ? {} : { fallback: false }),
  };
}

function targetFields(target: Target): Record<string, unknown> {
  if (target.kind === "agent") return { agent_type: target.name };
  return target.kind === "port" ? { model_port: target.port } : { model: target.name };
}

/** The same request as a command, with the variable `$ISHA_KEY` instead of the key. */
export function curlOf(origin: string, question: Question): string {
  const body = JSON.stringify(chatBody(question)).replaceAll("'", String.raw`'\''`);
  return [
    `curl ${question.stream ? "-N " : ""}${origin}${CHAT_PATH} \\`,
    `  -H "Authorization: Bearer $ISHA_KEY" -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ].join("\n");
}
