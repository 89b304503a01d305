// The playground's answer: its text as it arrives, its route, its times and tokens.
import { tokenRate, playgroundText, type ChatAnswer } from "../../model/chat-answer.ts";
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

export function AnswerPanel({ answer, curl }: { readonly answer: ChatAnswer | null; readonly curl: string }) {
  return (
    <div class="answer-side">
      <section class="card answer" aria-label="Answer">
        {answer === null ? (
          <p class="empty">The answer appears here.</p>
        ) : (
          <>
            <header class="panel-head">
              <h2>Answer</h2>
              <span role="status">
                <StateLabel state={stateOf(answer)} />
              </span>
            </header>
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
          </>
        )}
      </section>
      <section class="card" aria-labelledby="curl">
        <header class="panel-head">
          <h2 id="curl">The same request with curl</h2>
          <CopyButton text={curl} label="Copy" />
        </header>
        <pre class="curl" tabIndex={0}>
          <code>{curl}</code>
        </pre>
      </section>
    </div>
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

function Facts({ answer }: { readonly answer: ChatAnswer }) {
  const { route, requestId, firstTokenMs, totalMs, promptTokens, completionTokens } = answer;
  const rate = tokenRate(answer);
  return (
    <dl class="facts">
      <dt>Route</dt>
      <dd>
        {route.port === null ? UNKNOWN : `${modelOf(answer)} on ${route.port} of ${route.box ?? "a box"}`}
        {route.simulated ? " (simulated)" : ""}
      </dd>
      <dt>Queue time</dt>
      <dd>{latency(route.queueMs)}</dd>
      <dt>First token</dt>
      <dd>{latency(firstTokenMs)}</dd>
      <dt>Total time</dt>
      <dd>{latency(totalMs)}</dd>
      <dt>Tokens</dt>
      <dd>
        {completionTokens === null
          ? UNKNOWN
          : `${figure(promptTokens)} in, ${figure(completionTokens)} out${rate === null ? "" : `, ${figure(rate, 1)} per second`}`}
      </dd>
      <dt>Request</dt>
      <dd>{requestId === null ? UNKNOWN : <code>{requestId}</code>}</dd>
    </dl>
  );
}
