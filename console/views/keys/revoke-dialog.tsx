// Revokes a key, once its name was typed: there is no way back.
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
      <p>
        Within seconds no call with this key is taken any more. What runs goes on to its end. There is no way
        back.
      </p>
      {own ? (
        <p class="problem">
          <LevelIcon level="warn" />
          <span>This is the key you signed in with. You will be signed out.</span>
        </p>
      ) : null}
    </Confirm>
  );
}
