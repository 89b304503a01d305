// The dialog that revokes a key; it requires typing the key's name, because this can't be undone.
import { KeyView } from "../../../shared/keys.ts";
import { Confirm } from "../../components/confirm.tsx";
import { Note } from "../../components/note.tsx";
import { send } from "../../state/session.ts";

interface RevokeDialogProps {
  readonly target: KeyView;
  /** Whether it is the key that signed in. */
  readonly own: boolean;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

export function RevokeDialog({ target, own, onDone, onClose }: RevokeDialogProps) {
  return (
    <Confirm
      title={`Revoke “${target.name}”?`}
      action="Revoke it"
      danger
      typed={target.name}
      run={() => send("DELETE", `/admin/keys/${encodeURIComponent(target.id)}`, null, KeyView)}
      onDone={onDone}
      onClose={onClose}
    >
      <p>Within seconds no new call with this key is admitted; running calls finish. This can't be undone.</p>
      {own ? <Note level="warn">This is the key you signed in with. You will be signed out.</Note> : null}
    </Confirm>
  );
}
