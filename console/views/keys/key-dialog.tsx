// Makes a key, or changes what one may do.
import { useState } from "preact/hooks";
import { KeyView, KeyWithSecret } from "../../../shared/keys.ts";
import {
  fieldsOf,
  keyChangeBody,
  keyFaults,
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
  /** Null: a new one. */
  readonly before: KeyView | null;
  readonly onMade: (made: KeyWithSecret) => void;
  readonly onChanged: () => void;
  readonly onClose: () => void;
}

export function KeyDialog({ before, onMade, onChanged, onClose }: KeyDialogProps) {
  const [fields, setFields] = useState<KeyFields>(before === null ? NEW_KEY : fieldsOf(before));
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const faults = keyFaults(fields);
  const submit = async (): Promise<void> => {
    setTried(true);
    const edge = session.value?.edge;
    if (Object.keys(faults).length > 0 || edge === undefined || busy) return;
    setBusy(true);
    setProblem(null);
    if (before === null) {
      const answer = await edge.send("POST", "/admin/keys", newKeyBody(fields), KeyWithSecret);
      setBusy(false);
      return answer.ok ? onMade(answer.value) : setProblem(answer.problem);
    }
    const change = keyChangeBody(before, fields);
    if (change === null) return onClose();
    const answer = await edge.send("PATCH", `/admin/keys/${encodeURIComponent(before.id)}`, change, KeyView);
    setBusy(false);
    return answer.ok ? onChanged() : setProblem(answer.problem);
  };
  // What a key has stays choosable, also where the fleet no longer knows it.
  const agents = [...new Set([...agentTypes(fleet.value?.view ?? null), ...(before?.agents ?? [])])];
  return (
    <Dialog title={before === null ? "New key" : `Change “${before.name}”`} onClose={onClose} wide>
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
            faults={tried ? faults : {}}
            agents={agents}
            isNew={before === null}
            onChange={(change) => setFields({ ...fields, ...change })}
          />
          <ProblemNote problem={problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={busy}>
            {busy ? "Asking…" : before === null ? "Make the key" : "Save"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
