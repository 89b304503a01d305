// A confirmation before an action that affects others. An action that can't be undone requires typing a name.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Outcome } from "../api/edge-client.ts";
import type { Problem } from "../model/problem.ts";
import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";
import { ProblemNote } from "./problem-note.tsx";

interface ConfirmProps {
  readonly title: string;
  /** The button's label. */
  readonly action: string;
  readonly danger?: boolean;
  /** The name that must be typed first; null for none. */
  readonly typed?: string | null;
  readonly run: () => Promise<Outcome<unknown>>;
  readonly onDone: () => void;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Confirm(props: ConfirmProps) {
  const { title, action, danger = false, typed = null, run, onDone, onClose, children } = props;
  const [input, setInput] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const ready = typed === null || input.trim() === typed.trim();
  const confirm = async (): Promise<void> => {
    setBusy(true);
    const outcome = await run();
    setBusy(false);
    if (outcome.ok) onDone();
    else setProblem(outcome.problem);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !busy) void confirm();
        }}
      >
        <div class="dialog-body">
          {children}
          {typed === null ? null : (
            <Field label="Type its name to continue" hint={typed}>
              {(field) => (
                <input
                  {...field}
                  autocomplete="off"
                  spellcheck={false}
                  value={input}
                  onInput={(event) => setInput(event.currentTarget.value)}
                />
              )}
            </Field>
          )}
          <ProblemNote problem={problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={danger ? "button danger" : "button primary"} disabled={!ready || busy}>
            {busy ? "Sending…" : action}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
