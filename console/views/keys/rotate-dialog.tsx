// The dialog that gives a key a new secret; the old one stays valid for a while, so that the client can change over.
import { useState } from "preact/hooks";
import { KeyWithSecret, ROTATION_GRACE_S, type KeyView } from "../../../shared/keys.ts";
import type { Problem } from "../../model/problem.ts";
import { Dialog } from "../../components/dialog.tsx";
import { Field } from "../../components/field.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { session } from "../../state/session.ts";

const GRACES: readonly (readonly [seconds: number, label: string])[] = [
  [0, "not at all: it was leaked"],
  [60 * 60, "an hour"],
  [ROTATION_GRACE_S, "a day"],
  [7 * 24 * 60 * 60, "a week"],
  [30 * 24 * 60 * 60, "30 days"],
];

interface RotateDialogProps {
  readonly target: KeyView;
  readonly onMade: (made: KeyWithSecret) => void;
  readonly onClose: () => void;
}

export function RotateDialog({ target, onMade, onClose }: RotateDialogProps) {
  const [grace, setGrace] = useState(ROTATION_GRACE_S);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const submit = async (): Promise<void> => {
    const edge = session.value?.edge;
    if (edge === undefined || busy) return;
    setBusy(true);
    const path = `/admin/keys/${encodeURIComponent(target.id)}/rotate`;
    const answer = await edge.send("POST", path, { graceSeconds: grace }, KeyWithSecret);
    setBusy(false);
    if (answer.ok) onMade(answer.value);
    else setProblem(answer.problem);
  };
  return (
    <Dialog title={`Rotate “${target.name}”`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <div class="dialog-body">
          <p>The key gets a new secret, shown only once. Its id, limits and usage stay.</p>
          {target.oldSecretUntil === null ? null : (
            <p>The previous secret is still valid; another rotation ends it now.</p>
          )}
          <Field label="The current secret stays valid for">
            {(props) => (
              <select
                {...props}
                value={grace}
                onChange={(event) => setGrace(Number(event.currentTarget.value))}
              >
                {GRACES.map(([seconds, label]) => (
                  <option key={seconds} value={seconds}>
                    {label}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <ProblemNote problem={problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={busy}>
            {busy ? "Sending…" : "Make the new secret"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
