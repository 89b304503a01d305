// Shows a key's secret, the one time there is: closing takes it off the page for good.
import { useState } from "preact/hooks";
import type { KeyWithSecret } from "../../../shared/keys.ts";
import { CopyButton } from "../../components/copy-button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { LevelIcon } from "../../components/icon.tsx";

interface SecretDialogProps {
  readonly made: KeyWithSecret;
  readonly rotated: boolean;
  readonly onClose: () => void;
}

export function SecretDialog({ made, rotated, onClose }: SecretDialogProps) {
  const [copied, setCopied] = useState(false);
  const [warned, setWarned] = useState(false);
  // A slip on the Escape key must not cost the secret: the first one only warns.
  const mayClose = (): boolean => {
    if (copied || warned) return true;
    setWarned(true);
    return false;
  };
  return (
    <Dialog
      title={rotated ? `The new secret of “${made.name}”` : `“${made.name}” is made`}
      onClose={onClose}
      mayClose={mayClose}
    >
      <div class="dialog-body">
        <p>Copy it now. It is shown this once and kept nowhere: not even the edge can tell it again.</p>
        <div class="secret">
          <code class="secret-text">{made.key}</code>
        </div>
        <div role="alert">
          {warned && !copied ? (
            <p class="problem">
              <LevelIcon level="warn" />
              <span>You haven't copied it. Close once more, and it is gone.</span>
            </p>
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
