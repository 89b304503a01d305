// The order of what a generation says: thoughts first if the switches request them, then tool calls, a
// JSON value that fits a schema, or the answer.
import type { Answer } from "./answer.ts";
import { keyWords } from "./answer.ts";
import type { Token } from "./generation.ts";
import { pieces } from "./tokens.ts";
import type { ToolCall } from "./tools.ts";

export interface Script {
  next(): Token | null;
}

/** Tokens of a fixed text on one channel. */
export function spoken(text: string, channel: Token["channel"]): Token[] {
  return pieces(text).map((piece) => ({ text: piece, channel }));
}

/** Fixed tokens first, then the answer, if there is one. */
export function script(opening: readonly Token[], answer: Answer | null): Script {
  let at = 0;
  return {
    next: () => {
      const token = opening[at++];
      if (token) return token;
      const text = answer?.next() ?? null;
      return text === null ? null : { text, channel: "content" };
    },
  };
}

export const thoughts = (question: string): Token[] =>
  spoken(`The user asks about ${keyWords(question)}. A short – simulated – answer will do.`, "reasoning");

/** Tool calls, each as its name and its arguments. */
export const called = (calls: readonly ToolCall[]): Token[] =>
  calls.flatMap((call) => [
    { text: call.name, channel: "toolName" as const },
    ...spoken(call.arguments, "toolArguments"),
  ]);
