// The tokens of a call's choices that llama-server didn't count: it states those of one (transcript `chat-n2`).
// What the others said is known, so the server is asked how many tokens that is: an estimate, not its count.
import { saidBesideText, type AnswerJson, type Counts } from "./answer-json.ts";
import type { ChatRecorder } from "./recorder.ts";

/** What a whole answer's choices said but the first, the one it counts. */
export function otherTextsOf({ choices }: AnswerJson): readonly string[] {
  return (choices ?? [])
    .filter(({ index }) => index !== 0)
    .map(({ message }) => {
      const content = message?.["content"];
      return (typeof content === "string" ? content : "") + saidBesideText(message ?? {});
    });
}

/** The tokens of all these texts; null where the texts are gone or the server doesn't say. */
export async function tokensOf(
  texts: readonly string[] | null,
  count: (text: string) => Promise<number | null>,
): Promise<number | null> {
  if (texts === null) return null;
  const counts = await Promise.all(texts.filter((text) => text !== "").map(count));
  return counts.reduce<number | null>((sum, one) => (sum === null || one === null ? null : sum + one), 0);
}

/** The same without asking: what went by in the stream, else as many for each as for the counted one. */
export function othersPassed(choices: number, counts: Counts | null, stream: ChatRecorder | null): number {
  if (choices === 1 || counts === null) return 0;
  if (stream === null) return counts.completionTokens * (choices - 1);
  return Math.max(0, stream.textEvents - counts.completionTokens);
}
