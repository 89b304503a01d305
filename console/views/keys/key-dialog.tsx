// The dialog that makes or changes a key.
import { useState } from "preact/hooks";
import { KeyView, KeyWithSecret } from "../../../shared/keys.ts";
import {
  fieldsOf,
  keyChangeBody,
  fieldErrors,
  newKeyBody,
  NEW_KEY,
  type KeyFields,
} from "../../model/key-form.ts";
import type { Problem } from "../../model/problem.ts";
import { agentTypes } from "../../model/targets.ts";
import { Dialog } from "../../components/dialog.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { fleet, session } from "../../state/session.ts";
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
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const errors = fieldErrors(fields);
  const submit = async (): Promise<void> => {
    setSubmitted(true);
    const edge = session.value?.edge;
    if (Object.keys(errors).length > 0 || edge === undefined || busy) return;
    setBusy(true);
    setProblem(null);
    if (current === null) {
      const answer = await edge.send("POST", "/admin/keys", newKeyBody(fields), KeyWithSecret);
      setBusy(false);
      return answer.ok ? onMade(answer.value) : setProblem(answer.problem);
    }
    const change = keyChangeBody(current, fields);
    if (change === null) return onClose();
    const answer = await edge.send("PATCH", `/admin/keys/${encodeURIComponent(current.id)}`, change, KeyView);
    setBusy(false);
    return answer.ok ? onChanged() : setProblem(answer.problem);
  };
  // The key's own agent types can be chosen even if the fleet no longer has them.
  const agents = [...new Set([...agentTypes(fleet.value?.view ?? null), ...(current?.agents ?? [])])];
  return (
    <Dialog title={current === null ? "New key" : `Change “${current.name}”`} onClose={onClose} wide>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <div class="dialog-body">
          <KeyFieldset
            fields={fields}
            errors={submitted ? errors : {}}
            agents={agents}
            isNew={current === null}
            onChange={(change) => setFields({ ...fields, ...change })}
          />
          <ProblemNote problem={problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={busy}>
            {busy ? "Sending…" : current === null ? "Make the key" : "Save"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
