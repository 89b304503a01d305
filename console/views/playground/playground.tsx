// Holds a conversation with a model as a client would, and shows the route, the times and the tokens of each answer.
// Prompts and answers are kept only in this view's memory, until the operator leaves it.
import { useEffect, useRef, useState } from "preact/hooks";
import { WAITING, type ChatAnswer } from "../../model/chat-answer.ts";
import { chatBody, curlOf, type ChatBody, type Question, type Turn } from "../../model/chat-question.ts";
import { linkedTarget, targetValue } from "../../model/targets.ts";
import { routeQuery, setQuery } from "../../state/route.ts";
import { fleet, session } from "../../state/session.ts";
import { Conversation } from "./conversation.tsx";
import { CurlPanel } from "./curl-panel.tsx";
import { OptionsForm } from "./options-form.tsx";
import { QuestionForm } from "./question-form.tsx";
import { streamAnswer } from "./stream-answer.ts";

const INITIAL_QUESTION: Omit<Question, "target"> = {
  system: "",
  prompt: "",
  maxTokens: 256,
  temperature: null,
  stream: true,
  fallback: true,
};

export function Playground() {
  const [options, setOptions] = useState(INITIAL_QUESTION);
  const target = linkedTarget(routeQuery.value["target"] ?? "", fleet.value?.view ?? null);
  const question: Question = { ...options, target };
  const { turns, sent, busy, ask, stop, clear } = useConversation((prompt) =>
    // A question that got no answer is put back, unless the next one is already being typed.
    setOptions((current) => (current.prompt === "" ? { ...current, prompt } : current)),
  );
  const onChange = (change: Partial<Question>): void => {
    const { target: chosen, ...others } = change;
    if (chosen !== undefined) setQuery({ target: targetValue(chosen) });
    setOptions({ ...options, ...others });
  };
  const next = chatBody(question, turns);
  // Before the first question, the command has a place for one.
  const shown = options.prompt.trim() === "" ? (sent ?? chatBody({ ...question, prompt: "…" })) : next;
  return (
    <div class="view">
      <header class="view-head">
        <h1>Playground</h1>
        <button type="button" class="button small" disabled={turns.length === 0} onClick={clear}>
          New conversation
        </button>
        <p class="view-note">
          Sends requests with your key, as a client would. What you type is not stored and is lost when you
          leave.
        </p>
      </header>
      <div class="playground">
        <div class="chat">
          <Conversation turns={turns} />
          <QuestionForm
            question={question}
            busy={busy}
            onChange={onChange}
            onAsk={() => {
              ask(options.prompt, next);
              setOptions({ ...options, prompt: "" });
            }}
            onStop={stop}
          />
        </div>
        <div class="chat-side">
          <OptionsForm question={question} onChange={onChange} />
          <CurlPanel curl={curlOf(location.origin, shown)} />
        </div>
      </div>
    </div>
  );
}

interface ConversationState {
  readonly turns: readonly Turn[];
  /** The last request's body; null before the first. */
  readonly sent: ChatBody | null;
  readonly busy: boolean;
  readonly ask: (prompt: string, body: ChatBody) => void;
  readonly stop: () => void;
  readonly clear: () => void;
}

/** @param onUnanswered called with a prompt that was refused or failed before any text. */
function useConversation(onUnanswered: (prompt: string) => void): ConversationState {
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const [sent, setSent] = useState<ChatBody | null>(null);
  const running = useRef<AbortController | null>(null);
  const stop = (): void => running.current?.abort();
  useEffect(() => stop, []);
  const ask = (prompt: string, body: ChatBody): void => {
    const edge = session.peek()?.edge;
    if (edge === undefined) return;
    stop();
    const current = new AbortController();
    running.current = current;
    const id = (turns.at(-1)?.id ?? 0) + 1;
    const onAnswer = (answer: ChatAnswer): void =>
      setTurns((all) => all.map((turn) => (turn.id === id ? { ...turn, answer } : turn)));
    setSent(body);
    setTurns((all) => [...all, { id, prompt, answer: WAITING }]);
    void streamAnswer(edge, body, current.signal, (answer) => {
      if (running.current !== current) return;
      onAnswer(answer);
      if (answer.state === "broken" && answer.text === "") onUnanswered(prompt);
    });
  };
  const clear = (): void => {
    stop();
    // A late event of the old conversation has no turn to change.
    running.current = null;
    setTurns([]);
    setSent(null);
  };
  const state = turns.at(-1)?.answer.state;
  return { turns, sent, busy: state === "waiting" || state === "answering", ask, stop, clear };
}
