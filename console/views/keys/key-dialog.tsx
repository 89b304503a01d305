// The dialog that makes or changes a key.
import { useState } from "preact/hooks";
import { KeyView, KeyWithSecret } from "../../../shared/keys.ts";
import type { Outcome } from "../../api/edge-client.ts";
import {
  fieldsOf,
  keyChangeBody,
  fieldErrors,
  newKeyBody,
  NEW_KEY,
  type KeyFields,
} from "../../model/key-form.ts";
import { agentTypes } from "../../model/targets.ts";
import { Confirm } from "../../components/confirm.tsx";
import { fleet, send } from "../../state/session.ts";
import { KeyFieldset } from "./key-fieldset.tsx";

interface KeyDialogProps {
  /** Null for a new key. */
  readonly current: KeyView | null;
  readonly onMade: (key: KeyWithSecret) => void;
  readonly onChanged: () => void;
  readonly onClose: () => void;
}

export function KeyDialog({ current, onMade, onChanged, onClose }: KeyDialogProps) {
  const [fields, setFields] = useState<KeyFields>(current === null ? NEW_KEY : fieldsOf(current));
  const [submitted, setSubmitted] = useState(false);
  const errors = fieldErrors(fields);
  const submit = (): Promise<Outcome<KeyView | KeyWithSecret>> | null => {
    setSubmitted(true);
    if (Object.keys(errors).length > 0) return null;
    if (current === null) return send("POST", "/admin/keys", newKeyBody(fields), KeyWithSecret);
    const change = keyChangeBody(current, fields);
    if (change !== null)
      return send("PATCH", `/admin/keys/${encodeURIComponent(current.id)}`, change, KeyView);
    onClose();
    return null;
  };
  // The key's own agent types can be chosen even if the fleet no longer has them.
  const agents = [...new Set([...agentTypes(fleet.value?.view ?? null), ...(current?.agents ?? [])])];
  return (
    <Confirm
      title={current === null ? "New key" : `Change “${current.name}”`}
      action={current === null ? "Make the key" : "Save"}
      wide
      run={submit}
      onDone={(key) => ("key" in key ? onMade(key) : onChanged())}
      onClose={onClose}
    >
      <KeyFieldset
        fields={fields}
        errors={submitted ? errors : {}}
        agents={agents}
        isNew={current === null}
        onChange={(change) => setFields({ ...fields, ...change })}
      />
    </Confirm>
  );
}
