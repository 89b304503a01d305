// The fields of a key.
import { FALLBACK_POLICIES, PRIORITIES } from "../../../shared/fleet.ts";
import type { FieldFaults, KeyFields } from "../../model/key-form.ts";
import { Field } from "../../components/field.tsx";

interface KeyFieldsetProps {
  readonly fields: KeyFields;
  readonly faults: FieldFaults;
  readonly agents: readonly string[];
  readonly isNew: boolean;
  readonly onChange: (change: Partial<KeyFields>) => void;
}

const FALLBACK_WORDS = {
  auto: "any model",
  "same-model": "same model only",
  none: "no other",
} as const satisfies Record<KeyFields["fallback"], string>;

export function KeyFieldset({ fields, faults, agents, isNew, onChange }: KeyFieldsetProps) {
  return (
    <>
      <Field label="Name" hint="Who uses it, and where: “Mediczy production”." fault={faults.name}>
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
        <legend>It may</legend>
        <Check label="ask models (infer)" checked={fields.infer} onChange={(infer) => onChange({ infer })} />
        <Check
          label="look after the fleet and its keys (admin)"
          checked={fields.admin}
          onChange={(admin) => onChange({ admin })}
        />
        {faults.infer === undefined ? null : <p class="fault">{faults.infer}</p>}
      </fieldset>
      <AgentChoice fields={fields} fault={faults.agents} agents={agents} onChange={onChange} />
      <div class="field-row">
        <CountField
          label="Requests a second"
          hint={isNew ? "Empty: as the fleet file says." : "A whole number."}
          name="perSecond"
          {...{ fields, faults, onChange }}
        />
        <CountField
          label="Calls at once"
          hint="Empty: no limit."
          name="concurrent"
          {...{ fields, faults, onChange }}
        />
        <CountField
          label="Tokens a month"
          hint="Empty: no limit."
          name="tokensPerMonth"
          {...{ fields, faults, onChange }}
        />
      </div>
      <div class="field-row">
        <Field label="Priority">
          {(props) => (
            <select
              {...props}
              value={fields.priority}
              onChange={(event) => onChange({ priority: event.currentTarget.value as KeyFields["priority"] })}
            >
              {PRIORITIES.map((priority) => (
                <option key={priority}>{priority}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="When a model is down">
          {(props) => (
            <select
              {...props}
              value={fields.fallback}
              onChange={(event) => onChange({ fallback: event.currentTarget.value as KeyFields["fallback"] })}
            >
              {FALLBACK_POLICIES.map((policy) => (
                <option key={policy} value={policy}>
                  {FALLBACK_WORDS[policy]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Good until" hint="Empty: for good.">
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
        label="No limit by address: one backend speaks for many users"
        checked={fields.addressExempt}
        onChange={(addressExempt) => onChange({ addressExempt })}
      />
    </>
  );
}

interface AgentChoiceProps {
  readonly fields: KeyFields;
  readonly fault: string | undefined;
  readonly agents: readonly string[];
  readonly onChange: (change: Partial<KeyFields>) => void;
}

function AgentChoice({ fields, fault, agents, onChange }: AgentChoiceProps) {
  const chosen = fields.agents;
  return (
    <fieldset class="boxed">
      <legend>Agent types</legend>
      <Check
        label="all, also those to come"
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
      {fault === undefined ? null : <p class="fault">{fault}</p>}
    </fieldset>
  );
}

interface CountFieldProps {
  readonly label: string;
  readonly hint: string;
  readonly name: "perSecond" | "concurrent" | "tokensPerMonth";
  readonly fields: KeyFields;
  readonly faults: FieldFaults;
  readonly onChange: (change: Partial<KeyFields>) => void;
}

function CountField({ label, hint, name, fields, faults, onChange }: CountFieldProps) {
  return (
    <Field label={label} hint={hint} fault={faults[name]}>
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

interface CheckProps {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}

function Check({ label, checked, onChange }: CheckProps) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}
