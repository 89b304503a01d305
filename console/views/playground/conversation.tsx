// The playground's conversation: each question with its answer as it arrives.
import { useEffect, useRef } from "preact/hooks";
import { playgroundText, tokenRate, type ChatAnswer } from "../../model/chat-answer.ts";
import { isSentAgain, type Turn } from "../../model/chat-question.ts";
import { figure, latency, UNKNOWN } from "../../model/format.ts";
import type { StateText } from "../../model/server-state.ts";
import { CopyButton } from "../../components/copy-button.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { StateLabel } from "../../components/state-label.tsx";
import { fleet } from "../../state/session.ts";

const ANSWER_STATE_TEXT: Readonly<Record<ChatAnswer["state"], StateText>> = {
  waiting: { level: "quiet", label: "waiting", meaning: "" },
  answering: { level: "quiet", label: "answering", meaning: "" },
  done: { level: "good", label: "complete", meaning: "" },
  stopped: { level: "warn", label: "stopped by you", meaning: "" },
  broken: { level: "bad", label: "failed", meaning: "" },
};

/** Distance from the end, in CSS pixels, within which the conversation follows the answer. */
const FOLLOW_WITHIN = 120;

export function Conversation({ turns }: { readonly turns: readonly Turn[] }) {
  const log = useRef<HTMLElement>(null);
  const count = useRef(0);
  useEffect(() => {
    const element = log.current;
    if (element === null) return;
    // Someone who scrolled up to read isn't moved, except to a new question.
    const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (turns.length !== count.current || distance < FOLLOW_WITHIN) element.scrollTop = element.scrollHeight;
    count.current = turns.length;
  }, [turns]);
  return (
    <section ref={log} class="card conversation" aria-label="Conversation" tabIndex={0}>
      {turns.length === 0 ? (
        <p class="empty">The answers appear here.</p>
      ) : (
        <ol class="turns">
          {turns.map((turn, index) => (
            <li key={turn.id}>
              <TurnView turn={turn} isLast={index === turns.length - 1} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function TurnView({ turn, isLast }: { readonly turn: Turn; readonly isLast: boolean }) {
  const { prompt, answer } = turn;
  const isLeftOut = !isLast && !isSentAgain(turn);
  return (
    <>
      <p class="prompt-text">{prompt}</p>
      <div class="answer">
        <span role="status" class="answer-state">
          <StateLabel state={stateOf(answer)} note={isLeftOut ? "not part of later questions" : ""} />
        </span>
        {answer.route.fallbackFrom === null ? null : (
          <p class="box-warning">
            <LevelIcon level="warn" />
            <span>
              {answer.route.fallbackFrom} wasn't up: {modelOf(answer)} on {answer.route.port} answered
              instead.
            </span>
          </p>
        )}
        <ProblemNote
          problem={answer.problem}
          {...(answer.problem === null ? {} : { message: playgroundText(answer.problem) })}
        />
        {answer.text === "" ? null : <p class="answer-text">{answer.text}</p>}
        <Facts answer={answer} />
      </div>
    </>
  );
}

function stateOf(answer: ChatAnswer): StateText {
  if (answer.state === "broken" && answer.text !== "")
    return { ...ANSWER_STATE_TEXT.broken, label: "incomplete" };
  if (answer.state === "done" && answer.finishReason === "length") {
    return { level: "warn", label: "stopped at the token limit", meaning: "" };
  }
  return ANSWER_STATE_TEXT[answer.state];
}

/** The model's name; the answer contains only its file. */
function modelOf({ route }: ChatAnswer): string {
  const servers = fleet.value?.view.boxes.flatMap((box) => box.servers) ?? [];
  return servers.find(({ port }) => String(port) === route.port)?.model ?? route.model ?? "a model";
}

/** Only what is known: a refused request has no route, and a stopped one no token counts. */
function Facts({ answer }: { readonly answer: ChatAnswer }) {
  const { route, requestId, firstTokenMs, totalMs, promptTokens, completionTokens } = answer;
  const rate = tokenRate(answer);
  const facts: readonly (readonly [name: string, text: string])[] = [
    [
      "Route",
      route.port === null
        ? UNKNOWN
        : `${modelOf(answer)} on ${route.port} of ${route.box ?? "a box"}${route.simulated ? " (simulated)" : ""}`,
    ],
    [
      "Tokens",
      completionTokens === null
        ? UNKNOWN
        : `${figure(promptTokens)} in, ${figure(completionTokens)} out${rate === null ? "" : `, ${figure(rate, 1)} per second`}`,
    ],
    ["Queue time", latency(route.queueMs)],
    ["First token", latency(firstTokenMs)],
    ["Total time", latency(totalMs)],
  ];
  return (
    <dl class="answer-facts">
      {facts
        .filter(([, text]) => text !== UNKNOWN)
        .map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      {requestId === null ? null : (
        <div>
          <dt>Request</dt>
          <dd class="answer-request">
            <code>{requestId}</code>
            <CopyButton text={requestId} label="Copy" />
          </dd>
        </div>
      )}
    </dl>
  );
}
