// A dialog with a form: sends one request, and stays open with the reason if the edge refuses it. An action that can't
// be undone requires typing a name.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Outcome } from "../api/edge-client.ts";
import type { Problem } from "../model/problem.ts";
import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";
import { ProblemNote } from "./problem-note.tsx";

interface ConfirmProps<T> {
  readonly title: string;
  /** The button's label. */
  readonly action: string;
  readonly danger?: boolean;
  readonly wide?: boolean;
  /** The name that must be typed first; null for none. */
  readonly typed?: string | null;
  /** Null if there is nothing to send yet: the dialog stays as it is. */
  readonly run: () => Promise<Outcome<T>> | null;
  readonly onDone: (value: T) => void;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Confirm<T>(props: ConfirmProps<T>) {
  const { title, action, danger = false, wide = false, typed = null, run, onDone, onClose, children } = props;
  const [input, setInput] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const ready = typed === null || input.trim() === typed.trim();
  const confirm = async (): Promise<void> => {
    const running = run();
    if (running === null) return;
    setBusy(true);
    setProblem(null);
    const outcome = await running;
    setBusy(false);
    if (outcome.ok) onDone(outcome.value);
    else setProblem(outcome.problem);
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form
        noValidate
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
