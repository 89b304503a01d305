// Sends a request as a client would, and shows the answer, its route and its times. The prompt is kept only in this
// view's memory, until the operator leaves it.
import { useEffect, useRef, useState } from "preact/hooks";
import {
  WAITING,
  broken,
  ended,
  withEvent,
  withHeaders,
  withChunk,
  type ChatAnswer,
} from "../../model/chat-answer.ts";
import { CHAT_PATH, chatBody, curlOf, type Question } from "../../model/chat-question.ts";
import { EventReader } from "../../api/sse.ts";
import { NETWORK, UNREADABLE } from "../../model/problem.ts";
import type { EdgeClient } from "../../api/edge-client.ts";
import { session } from "../../state/session.ts";
import { AnswerPanel } from "./answer-panel.tsx";
import { QuestionForm } from "./question-form.tsx";

const INITIAL_QUESTION: Question = {
  target: { kind: "agent", name: "Default" },
  prompt: "",
  maxTokens: 256,
  stream: true,
  fallback: true,
};

export function Playground() {
  const [question, setQuestion] = useState(INITIAL_QUESTION);
  const [answer, setAnswer] = useState<ChatAnswer | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const ask = async (): Promise<void> => {
    const edge = session.value?.edge;
    if (edge === undefined) return;
    running.current?.abort();
    const current = new AbortController();
    running.current = current;
    await streamAnswer(edge, question, current.signal, (next) => {
      if (running.current === current) setAnswer(next);
    });
    if (running.current === current) running.current = null;
  };
  const busy = answer?.state === "waiting" || answer?.state === "answering";
  return (
    <div class="view">
      <header class="view-head">
        <h1>Playground</h1>
        <p class="view-note">
          Sends a request with your key, as a client would. What you type is not stored and is lost when you
          leave.
        </p>
      </header>
      <div class="playground">
        <QuestionForm
          question={question}
          busy={busy}
          onChange={(change) => setQuestion({ ...question, ...change })}
          onAsk={() => void ask()}
          onStop={() => running.current?.abort()}
        />
        <AnswerPanel answer={answer} curl={curlOf(location.origin, question)} />
      </div>
    </div>
  );
}

async function streamAnswer(
  edge: EdgeClient,
  question: Question,
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
  show(answer);
  try {
    const opened = await edge.open(CHAT_PATH, { body: chatBody(question), signal });
    if (signal.aborted) return show({ ...answer, state: "stopped", totalMs: at() });
    if (!opened.ok) return show(broken(answer, opened.problem, at()));
    const response = opened.value;
    show(withHeaders(answer, response.headers));
    if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) {
      const complete = withChunk(answer, await response.json(), at());
      return show(
        complete.problem === null
          ? { ...complete, state: "done", firstTokenMs: null, totalMs: at() }
          : complete,
      );
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
    show(signal.aborted ? { ...answer, state: "stopped", totalMs: at() } : broken(answer, NETWORK, at()));
  }
}
