// Sends a question and passes on the answer as it grows, in both formats.
import type { EdgeClient } from "../../api/edge-client.ts";
import { EventReader } from "../../api/sse.ts";
import {
  broken,
  ended,
  WAITING,
  withChunk,
  withEvent,
  withHeaders,
  type ChatAnswer,
} from "../../model/chat-answer.ts";
import { CHAT_PATH, type ChatBody } from "../../model/chat-question.ts";
import { NETWORK, UNREADABLE } from "../../model/problem.ts";

export async function streamAnswer(
  edge: EdgeClient,
  body: ChatBody,
  signal: AbortSignal,
  onAnswer: (answer: ChatAnswer) => void,
): Promise<void> {
  const startedAt = performance.now();
  const at = (): number => performance.now() - startedAt;
  let answer = WAITING;
  const show = (next: ChatAnswer): void => {
    answer = next;
    onAnswer(next);
  };
  const stopped = (): ChatAnswer => ({ ...answer, state: "stopped", totalMs: at() });
  try {
    const opened = await edge.open(CHAT_PATH, { body, signal });
    if (signal.aborted) return show(stopped());
    if (!opened.ok) return show(broken(answer, opened.problem, at()));
    const response = opened.value;
    show(withHeaders(answer, response.headers));
    if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) {
      return show(complete(withChunk(answer, await response.json(), at()), at()));
    }
    if (response.body === null) return show(broken(answer, UNREADABLE, at()));
    const events = new EventReader();
    const reader = response.body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      let extended = answer;
      for (const event of events.push(next.value)) extended = withEvent(extended, event, at());
      if (extended !== answer) show(extended);
    }
    show(ended(answer, at()));
  } catch {
    show(signal.aborted ? stopped() : broken(answer, NETWORK, at()));
  }
}

/** An answer in one piece; the time of its first token is unknown. */
function complete(answer: ChatAnswer, totalMs: number): ChatAnswer {
  return answer.problem === null ? { ...answer, state: "done", firstTokenMs: null, totalMs } : answer;
}
