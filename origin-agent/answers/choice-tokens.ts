// Estimates the tokens of a call's further choices: llama-server counts only one choice (transcript `chat-n2`). The text
// of the others is known, so the server can count its tokens afterwards.
import { nonContentText, type AnswerJson, type Counts } from "./answer-json.ts";
import type { StreamRecorder } from "./recorder.ts";

/** The text of every choice of a complete answer except the first, which the server counts. */
export function otherChoiceTexts({ choices }: AnswerJson): readonly string[] {
  return (choices ?? [])
    .filter(({ index }) => index !== 0)
    .map(({ message, text }) => {
      const content = message?.["content"] ?? text;
      return (typeof content === "string" ? content : "") + nonContentText(message ?? {});
    });
}

/** Counts the tokens of all these texts; null if the texts weren't kept or the server doesn't report a count. */
export async function countChoiceTokens(
  texts: readonly string[] | null,
  count: (text: string) => Promise<number | null>,
): Promise<number | null> {
  if (texts === null) return null;
  const counts = await Promise.all(texts.filter((text) => text !== "").map(count));
  return counts.reduce<number | null>((sum, one) => (sum === null || one === null ? null : sum + one), 0);
}

/** Estimates without asking the server: from the streamed events, or else as many for each choice as for the counted one. */
export function estimateChoiceTokens(
  choices: number,
  counts: Counts | null,
  stream: Pick<StreamRecorder, "textEvents"> | null,
): number {
  if (choices === 1 || counts === null) return 0;
  if (stream === null) return counts.completionTokens * (choices - 1);
  return Math.max(0, stream.textEvents - counts.completionTokens);
}
