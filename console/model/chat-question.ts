// The playground's request: its body with the conversation so far, and the same request as a curl command.
import type { ChatAnswer } from "./chat-answer.ts";
import type { Target } from "./targets.ts";

export interface Question {
  readonly target: Target;
  /** The system prompt; empty for none. */
  readonly system: string;
  readonly prompt: string;
  readonly maxTokens: number;
  /** Null leaves it to the server. */
  readonly temperature: number | null;
  readonly stream: boolean;
  /** Whether another model may answer. */
  readonly fallback: boolean;
}

/** A question that was sent, with its answer. */
export interface Turn {
  readonly id: number;
  readonly prompt: string;
  readonly answer: ChatAnswer;
}

export const CHAT_PATH = "/v1/chat/completions";

/** The edge accepts more, but nothing above this is readable. */
export const MAX_TEMPERATURE = 2;

export type ChatBody = Readonly<Record<string, unknown>>;

export function chatBody(question: Question, earlier: readonly Turn[] = []): ChatBody {
  const { target, system, prompt, maxTokens, temperature, stream, fallback } = question;
  return {
    ...targetFields(target),
    messages: [
      ...(system.trim() === "" ? [] : [{ role: "system", content: system }]),
      ...earlier.filter(isSentAgain).flatMap((turn) => [
        { role: "user", content: turn.prompt },
        { role: "assistant", content: turn.answer.text },
      ]),
      { role: "user", content: prompt },
    ],
    max_tokens: maxTokens,
    ...(temperature === null ? {} : { temperature }),
    ...(stream ? { stream: true } : {}),
    // In OpenAI's format a stream contains token counts only on request.
    ...(stream && target.kind === "model" ? { stream_options: { include_usage: true } } : {}),
    ...(fallback ? {} : { fallback: false }),
  };
}

/** Whether the next question is sent with this turn: one without a usable answer would only confuse the model. */
export function isSentAgain({ answer }: Turn): boolean {
  return (answer.state === "done" || answer.state === "stopped") && answer.text !== "";
}

function targetFields(target: Target): ChatBody {
  if (target.kind === "agent") return { agent_type: target.name };
  return target.kind === "port" ? { model_port: target.port } : { model: target.name };
}

/** Why a question can't be sent; null if it can. */
export function questionFault({ prompt, maxTokens, temperature }: Question): string | null {
  if (prompt.trim() === "") return "Enter a prompt.";
  if (!Number.isInteger(maxTokens) || maxTokens < 1) return "Max tokens must be at least 1.";
  if (temperature !== null && !(temperature >= 0 && temperature <= MAX_TEMPERATURE)) {
    return `The temperature must be between 0 and ${MAX_TEMPERATURE}.`;
  }
  return null;
}

/** The same request as a command, with the variable `$ISHA_KEY` instead of the key. */
export function curlOf(origin: string, body: ChatBody): string {
  const data = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  return [
    `curl ${body["stream"] === true ? "-N " : ""}${origin}${CHAT_PATH} \\`,
    `  -H "Authorization: Bearer $ISHA_KEY" -H "Content-Type: application/json" \\`,
    `  -d '${data}'`,
  ].join("\n");
}
