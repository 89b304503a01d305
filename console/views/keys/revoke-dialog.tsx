// The dialog that revokes a key; it requires typing the key's name, because this can't be undone.
import { KeyView } from "../../../shared/keys.ts";
import type { Outcome } from "../../api/edge-client.ts";
import { Confirm } from "../../components/confirm.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { session } from "../../state/session.ts";

interface RevokeDialogProps {
  readonly target: KeyView;
  /** Whether it is the key that signed in. */
  readonly own: boolean;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

export function RevokeDialog({ target, own, onDone, onClose }: RevokeDialogProps) {
  const run = async (): Promise<Outcome<unknown>> => {
    const edge = session.value?.edge;
    if (edge === undefined) return { ok: true, value: null };
    return edge.send("DELETE", `/admin/keys/${encodeURIComponent(target.id)}`, null, KeyView);
  };
  return (
    <Confirm
      title={`Revoke “${target.name}”?`}
      action="Revoke it"
      danger
      typed={target.name}
      run={run}
      onDone={onDone}
      onClose={onClose}
    >
      <p>Within seconds no new call with this key is admitted; running calls finish. This can't be undone.</p>
      {own ? (
        <p class="problem">
          <LevelIcon level="warn" />
          <span>This is the key you signed in with. You will be signed out.</span>
        </p>
      ) : null}
    </Confirm>
  );
}
