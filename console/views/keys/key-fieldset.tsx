// The fields of a key's form.
import type { FieldErrors, KeyFields } from "../../model/key-form.ts";
import { Check } from "../../components/check.tsx";
import { Field } from "../../components/field.tsx";
import { Select } from "../../components/select.tsx";

interface KeyFieldsetProps {
  readonly fields: KeyFields;
  readonly errors: FieldErrors;
  readonly agents: readonly string[];
  readonly isNew: boolean;
  readonly onChange: (change: Partial<KeyFields>) => void;
}

const PRIORITY_LABELS = { high: "high", normal: "normal", low: "low" } as const satisfies Record<
  KeyFields["priority"],
  string
>;

const FALLBACK_LABELS = {
  auto: "any model",
  "same-model": "the same model only",
  none: "no other model",
} as const satisfies Record<KeyFields["fallback"], string>;

export function KeyFieldset({ fields, errors, agents, isNew, onChange }: KeyFieldsetProps) {
  return (
    <>
      <Field label="Name" hint="Who uses it, and for what: “Mediczy production”." error={errors.name}>
        {(props) => (
          <input
            {...props}
            autocomplete="off"
            maxLength={128}
            value={fields.name}
            onInput={(event) => onChange({ name: event.currentTarget.value })}
          />
        )}
      </Field>
      <fieldset class="boxed">
        <legend>Permissions</legend>
        <Check label="call models (infer)" checked={fields.infer} onChange={(infer) => onChange({ infer })} />
        <Check
          label="manage the fleet and its keys (admin)"
          checked={fields.admin}
          onChange={(admin) => onChange({ admin })}
        />
        {errors.infer === undefined ? null : <p class="error">{errors.infer}</p>}
      </fieldset>
      <AgentChoice fields={fields} error={errors.agents} agents={agents} onChange={onChange} />
      <div class="field-row">
        <CountField
          label="Requests per second"
          hint={isNew ? "Empty: the fleet file's default." : "A whole number."}
          name="perSecond"
          {...{ fields, errors, onChange }}
        />
        <CountField
          label="Concurrent calls"
          hint="Empty: no limit."
          name="concurrent"
          {...{ fields, errors, onChange }}
        />
        <CountField
          label="Tokens per month"
          hint="Empty: no limit."
          name="tokensPerMonth"
          {...{ fields, errors, onChange }}
        />
      </div>
      <div class="field-row">
        <Select
          label="Priority"
          options={PRIORITY_LABELS}
          value={fields.priority}
          onChoose={(priority) => onChange({ priority })}
        />
        <Select
          label="When a model is down"
          options={FALLBACK_LABELS}
          value={fields.fallback}
          onChoose={(fallback) => onChange({ fallback })}
        />
        <Field label="Valid until" hint="Empty: no expiry.">
          {(props) => (
            <input
              {...props}
              type="date"
              value={fields.expires}
              onInput={(event) => onChange({ expires: event.currentTarget.value })}
            />
          )}
        </Field>
      </div>
      <Check
        label="No limit by address: for a backend that serves many users"
        checked={fields.addressExempt}
        onChange={(addressExempt) => onChange({ addressExempt })}
      />
    </>
  );
}

interface AgentChoiceProps {
  readonly fields: KeyFields;
  readonly error: string | undefined;
  readonly agents: readonly string[];
  readonly onChange: (change: Partial<KeyFields>) => void;
}

function AgentChoice({ fields, error, agents, onChange }: AgentChoiceProps) {
  const chosen = fields.agents;
  return (
    <fieldset class="boxed">
      <legend>Agent types</legend>
      <Check
        label="all, including future ones"
        checked={chosen === null}
        onChange={(all) => onChange({ agents: all ? null : [] })}
      />
      {chosen === null ? null : (
        <div class="check-grid">
          {agents.map((agent) => (
            <Check
              key={agent}
              label={agent}
              checked={chosen.includes(agent)}
              onChange={(on) =>
                onChange({ agents: on ? [...chosen, agent] : chosen.filter((other) => other !== agent) })
              }
            />
          ))}
        </div>
      )}
      {error === undefined ? null : <p class="error">{error}</p>}
    </fieldset>
  );
}

interface CountFieldProps {
  readonly label: string;
  readonly hint: string;
  readonly name: "perSecond" | "concurrent" | "tokensPerMonth";
  readonly fields: KeyFields;
  readonly errors: FieldErrors;
  readonly onChange: (change: Partial<KeyFields>) => void;
}

function CountField({ label, hint, name, fields, errors, onChange }: CountFieldProps) {
  return (
    <Field label={label} hint={hint} error={errors[name]}>
      {(props) => (
        <input
          {...props}
          inputMode="numeric"
          autocomplete="off"
          value={fields[name]}
          onInput={(event) => onChange({ [name]: event.currentTarget.value })}
        />
      )}
    </Field>
  );
}
