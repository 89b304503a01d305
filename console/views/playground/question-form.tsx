// The playground's form: target, prompt and options.
import type { Question } from "../../model/chat-question.ts";
import { targetGroups, targetOf } from "../../model/targets.ts";
import { Check } from "../../components/check.tsx";
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
  const { target, prompt, maxTokens, stream, fallback } = question;
  const ready = prompt.trim() !== "" && maxTokens > 0;
  return (
    <form
      class="card question"
      aria-label="Question"
      autocomplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready && !busy) onAsk();
      }}
    >
      <div class="field-row">
        <Field label="Agent or model">
          {(props) => (
            <select
              {...props}
              value={`${target.kind}:${target.kind === "port" ? target.port : target.name}`}
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
        <Field label="Max tokens">
          {(props) => (
            <input
              {...props}
              type="number"
              min="1"
              step="1"
              value={maxTokens}
              onInput={(event) => onChange({ maxTokens: Math.trunc(event.currentTarget.valueAsNumber) || 0 })}
            />
          )}
        </Field>
      </div>
      <Field label="Prompt" hint="Ctrl+Enter sends it.">
        {(props) => (
          <textarea
            {...props}
            rows={7}
            autocomplete="off"
            value={prompt}
            onInput={(event) => onChange({ prompt: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && ready && !busy) onAsk();
            }}
          />
        )}
      </Field>
      <div class="checks">
        <Check label="stream the answer" checked={stream} onChange={(stream) => onChange({ stream })} />
        <Check
          label="another model may answer"
          checked={fallback}
          onChange={(fallback) => onChange({ fallback })}
        />
      </div>
      <div class="button-row">
        <button type="submit" class="button primary" disabled={!ready || busy}>
          {busy ? "Answering…" : "Ask"}
        </button>
        <button type="button" class="button" disabled={!busy} onClick={onStop}>
          Stop
        </button>
      </div>
    </form>
  );
}
