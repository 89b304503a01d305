// The playground's answer: its words as they come, who gave them, what it took.
import { pace, playgroundWords, type ChatAnswer } from "../../model/chat-answer.ts";
import { figure, latency, UNKNOWN } from "../../model/figure.ts";
import type { StateText } from "../../model/server-state.ts";
import { CopyButton } from "../../components/copy-button.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { StateLabel } from "../../components/state-label.tsx";
import { fleet } from "../../state/session.ts";

const STATE_WORDS: Readonly<Record<ChatAnswer["state"], StateText>> = {
  asking: { level: "quiet", word: "asked", meaning: "" },
  answering: { level: "quiet", word: "answering", meaning: "" },
  done: { level: "good", word: "whole", meaning: "" },
  stopped: { level: "warn", word: "stopped by you", meaning: "" },
  broken: { level: "bad", word: "not answered", meaning: "" },
};

export function AnswerPanel({ answer, curl }: { readonly answer: ChatAnswer | null; readonly curl: string }) {
  return (
    <div class="answer-side">
      <section class="card answer" aria-label="Answer">
        {answer === null ? (
          <p class="empty">The answer comes here, word by word.</p>
        ) : (
          <>
            <header class="panel-head">
              <h2>Answer</h2>
              <span role="status">
                <StateLabel words={wordsOf(answer)} />
              </span>
            </header>
            {answer.route.fallbackFrom === null ? null : (
              <p class="box-warning">
                <LevelIcon level="warn" />
                <span>
                  {answer.route.fallbackFrom} wasn't up: {modelOf(answer)} on {answer.route.port} answered in
                  its place.
                </span>
              </p>
            )}
            <ProblemNote
              problem={answer.problem}
              {...(answer.problem === null ? {} : { words: playgroundWords(answer.problem) })}
            />
            {answer.text === "" ? null : <p class="answer-text">{answer.text}</p>}
            <Facts answer={answer} />
          </>
        )}
      </section>
      <section class="card" aria-labelledby="curl">
        <header class="panel-head">
          <h2 id="curl">The same with curl</h2>
          <CopyButton text={curl} label="Copy" />
        </header>
        <pre class="curl" tabIndex={0}>
          <code>{curl}</code>
        </pre>
      </section>
    </div>
  );
}

function wordsOf(answer: ChatAnswer): StateText {
  if (answer.state === "broken" && answer.text !== "") return { ...STATE_WORDS.broken, word: "broke off" };
  if (answer.state === "done" && answer.finishReason === "length") {
    return { level: "warn", word: "whole, cut at the most tokens", meaning: "" };
  }
  return STATE_WORDS[answer.state];
}

/** The answer names the file; operators know the model by its name. */
function modelOf({ route }: ChatAnswer): string {
  const servers = fleet.value?.view.boxes.flatMap((box) => box.servers) ?? [];
  return servers.find(({ port }) => String(port) === route.port)?.model ?? route.model ?? "a model";
}

function Facts({ answer }: { readonly answer: ChatAnswer }) {
  const { route, requestId, firstTokenMs, totalMs, promptTokens, completionTokens } = answer;
  const speed = pace(answer);
  return (
    <dl class="facts">
      <dt>Route</dt>
      <dd>
        {route.port === null ? UNKNOWN : `${modelOf(answer)} on ${route.port} of ${route.box ?? "a box"}`}
        {route.simulated ? " (simulated)" : ""}
      </dd>
      <dt>In the queue</dt>
      <dd>{latency(route.queueMs)}</dd>
      <dt>First token</dt>
      <dd>{latency(firstTokenMs)}</dd>
      <dt>All of it</dt>
      <dd>{latency(totalMs)}</dd>
      <dt>Tokens</dt>
      <dd>
        {completionTokens === null
          ? UNKNOWN
          : `${figure(promptTokens)} in, ${figure(completionTokens)} out${speed === null ? "" : `, ${figure(speed, 1)} a second`}`}
      </dd>
      <dt>Request</dt>
      <dd>{requestId === null ? UNKNOWN : <code>{requestId}</code>}</dd>
    </dl>
  );
}
