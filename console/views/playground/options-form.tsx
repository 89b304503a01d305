// The playground's options, which apply to the next question.
import { MAX_TEMPERATURE, type Question } from "../../model/chat-question.ts";
import { Check } from "../../components/check.tsx";
import { Field } from "../../components/field.tsx";

interface OptionsFormProps {
  readonly question: Question;
  readonly onChange: (change: Partial<Question>) => void;
}

export function OptionsForm({ question, onChange }: OptionsFormProps) {
  const { system, maxTokens, temperature, stream, fallback } = question;
  return (
    <form
      class="card options"
      aria-label="Options"
      autocomplete="off"
      onSubmit={(event) => event.preventDefault()}
    >
      <Field label="System prompt">
        {(props) => (
          <textarea
            {...props}
            rows={3}
            autocomplete="off"
            placeholder="None"
            value={system}
            onInput={(event) => onChange({ system: event.currentTarget.value })}
          />
        )}
      </Field>
      <div class="field-row">
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
        <Field label="Temperature">
          {(props) => (
            <input
              {...props}
              type="number"
              min="0"
              max={MAX_TEMPERATURE}
              step="0.1"
              placeholder="the server's"
              // Not controlled: that would erase the dot of a half-typed "0.".
              defaultValue={temperature ?? ""}
              onInput={({ currentTarget: { valueAsNumber } }) =>
                onChange({ temperature: Number.isNaN(valueAsNumber) ? null : valueAsNumber })
              }
            />
          )}
        </Field>
      </div>
      <div class="checks">
        <Check label="stream the answer" checked={stream} onChange={(stream) => onChange({ stream })} />
        <Check
          label="another model may answer"
          checked={fallback}
          onChange={(fallback) => onChange({ fallback })}
        />
      </div>
    </form>
  );
}
