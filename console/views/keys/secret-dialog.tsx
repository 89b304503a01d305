// Shows a key's secret once: closing the dialog removes it from the page.
import { useState } from "preact/hooks";
import type { KeyWithSecret } from "../../../shared/keys.ts";
import { CopyButton } from "../../components/copy-button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Note } from "../../components/note.tsx";

interface SecretDialogProps {
  readonly made: KeyWithSecret;
  readonly rotated: boolean;
  readonly onClose: () => void;
}

export function SecretDialog({ made, rotated, onClose }: SecretDialogProps) {
  const [copied, setCopied] = useState(false);
  const [warned, setWarned] = useState(false);
  // The first Escape only warns: a slip must not lose the secret.
  const mayClose = (): boolean => {
    if (copied || warned) return true;
    setWarned(true);
    return false;
  };
  return (
    <Dialog
      title={rotated ? `New secret of “${made.name}”` : `New key “${made.name}”`}
      onClose={onClose}
      mayClose={mayClose}
    >
      <div class="dialog-body">
        <p>Copy it now. It is shown only once and stored nowhere: the edge can't show it again.</p>
        <div class="secret">
          <code class="secret-text">{made.key}</code>
        </div>
        <div role="alert">
          {warned && !copied ? (
            <Note level="warn">You haven't copied it. If you close again, it is lost.</Note>
          ) : null}
        </div>
      </div>
      <footer class="dialog-foot">
        <CopyButton text={made.key} label="Copy the key" primary onCopied={() => setCopied(true)} />
        <button type="button" class="button" onClick={() => mayClose() && onClose()}>
          Done
        </button>
      </footer>
    </Dialog>
  );
}
