// The dialog that gives a key a new secret; the old one stays valid for a while, so that the client can change over.
import { useState } from "preact/hooks";
import { KeyWithSecret, ROTATION_GRACE_S, type KeyView } from "../../../shared/keys.ts";
import { Confirm } from "../../components/confirm.tsx";
import { Select } from "../../components/select.tsx";
import { send } from "../../state/session.ts";

/** Labels by seconds. */
const GRACES = {
  "0": "not at all: it was leaked",
  [String(60 * 60)]: "an hour",
  [String(ROTATION_GRACE_S)]: "a day",
  [String(7 * 24 * 60 * 60)]: "a week",
  [String(30 * 24 * 60 * 60)]: "30 days",
};

interface RotateDialogProps {
  readonly target: KeyView;
  readonly onMade: (made: KeyWithSecret) => void;
  readonly onClose: () => void;
}

export function RotateDialog({ target, onMade, onClose }: RotateDialogProps) {
  const [grace, setGrace] = useState(String(ROTATION_GRACE_S));
  const path = `/admin/keys/${encodeURIComponent(target.id)}/rotate`;
  return (
    <Confirm
      title={`Rotate “${target.name}”`}
      action="Make the new secret"
      run={() => send("POST", path, { graceSeconds: Number(grace) }, KeyWithSecret)}
      onDone={onMade}
      onClose={onClose}
    >
      <p>The key gets a new secret, shown only once. Its id, limits and usage stay.</p>
      {target.oldSecretUntil === null ? null : (
        <p>The previous secret is still valid; another rotation ends it now.</p>
      )}
      <Select label="The current secret stays valid for" options={GRACES} value={grace} onChoose={setGrace} />
    </Confirm>
  );
}
