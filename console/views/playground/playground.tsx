// Asks the fleet as a client would, and shows who answered and how fast. The prompt lives in this view's memory alone
// and is gone when it is left.
import { useEffect, useRef, useState } from "preact/hooks";
import {
  ASKING,
  broken,
  ended,
  withEvent,
  withHeaders,
  withPiece,
  type ChatAnswer,
} from "../../model/chat-answer.ts";
import { CHAT_PATH, chatBody, curlOf, type Question } from "../../model/chat-question.ts";
import { EventReader } from "../../api/sse.ts";
import { NETWORK, UNREADABLE } from "../../model/problem.ts";
import type { EdgeClient } from "../../api/edge-client.ts";
import { session } from "../../state/session.ts";
import { AnswerPanel } from "./answer-panel.tsx";
import { QuestionForm } from "./question-form.tsx";

const FIRST_QUESTION: Question = {
  target: { kind: "agent", name: "Default" },
  prompt: "",
  maxTokens: 256,
  stream: true,
  fallback: true,
};

export function Playground() {
  const [question, setQuestion] = useState(FIRST_QUESTION);
  const [answer, setAnswer] = useState<ChatAnswer | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const ask = async (): Promise<void> => {
    const edge = session.value?.edge;
    if (edge === undefined) return;
    running.current?.abort();
    const mine = new AbortController();
    running.current = mine;
    await askFor(edge, question, mine.signal, (next) => {
      if (running.current === mine) setAnswer(next);
    });
    if (running.current === mine) running.current = null;
  };
  const busy = answer?.state === "asking" || answer?.state === "answering";
  return (
    <div class="view">
      <header class="view-head">
        <h1>Playground</h1>
        <p class="view-note">
          Asks with your key, as a client would. What you type is kept nowhere and goes when you leave.
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

async function askFor(
  edge: EdgeClient,
  question: Question,
  signal: AbortSignal,
  onAnswer: (answer: ChatAnswer) => void,
): Promise<void> {
  const began = performance.now();
  const at = (): number => performance.now() - began;
  let answer = ASKING;
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
      const whole = withPiece(answer, await response.json(), at());
      return show(
        whole.problem === null ? { ...whole, state: "done", firstTokenMs: null, totalMs: at() } : whole,
      );
    }
    if (response.body === null) return show(broken(answer, UNREADABLE, at()));
    const events = new EventReader();
    const reader = response.body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      let grown = answer;
      for (const event of events.push(next.value)) grown = withEvent(grown, event, at());
      if (grown !== answer) show(grown);
    }
    show(ended(answer, at()));
  } catch {
    show(signal.aborted ? { ...answer, state: "stopped", totalMs: at() } : broken(answer, NETWORK, at()));
  }
}
