// The playground's next question: its target and its text.
import { questionFault, type Question } from "../../model/chat-question.ts";
import { targetGroups, targetOf, targetValue } from "../../model/targets.ts";
import { Field } from "../../components/field.tsx";
import { fleet } from "../../state/session.ts";

interface QuestionFormProps {
  readonly question: Question;
  readonly busy: boolean;
  readonly onChange: (change: Partial<Question>) => void;
  readonly onAsk: () => void;
  readonly onStop: () => void;
}

export function QuestionForm({ question, busy, onChange, onAsk, onStop }: QuestionFormProps) {
  const fault = questionFault(question);
  const submit = (): void => {
    if (fault === null && !busy) onAsk();
  };
  return (
    <form
      class="card question"
      aria-label="Question"
      autocomplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Field label="Agent or model">
        {(props) => (
          <select
            {...props}
            value={targetValue(question.target)}
            onChange={(event) => onChange({ target: targetOf(event.currentTarget.value) })}
          >
            {targetGroups(fleet.value?.view ?? null).map((group) => (
              <optgroup key={group.label} label={group.label}>
                {group.options.map(({ value, label }) => (
                  <option key={value} value={value}>
                    {label}
                  </option>
                ))}
              </optgroup>
            ))}
          </select>
        )}
      </Field>
      <Field label="Prompt" hint="Ctrl+Enter sends it.">
        {(props) => (
          <textarea
            {...props}
            rows={4}
            autocomplete="off"
            value={question.prompt}
            onInput={(event) => onChange({ prompt: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
            }}
          />
        )}
      </Field>
      <div class="button-row">
        <button type="submit" class="button primary" disabled={fault !== null || busy}>
          {busy ? "Answering…" : "Ask"}
        </button>
        <button type="button" class="button" disabled={!busy} onClick={onStop}>
          Stop
        </button>
        {fault === null || question.prompt.trim() === "" ? null : (
          <p role="alert" class="error">
            {fault}
          </p>
        )}
      </div>
    </form>
  );
}
