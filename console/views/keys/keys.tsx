// The keys: their permissions and usage, and the dialogs that make, change, rotate and revoke them.
import { useCallback, useEffect, useState } from "preact/hooks";
import { monthStart } from "../../../shared/calendar.ts";
import { KeyList, type KeyView, type KeyWithSecret } from "../../../shared/keys.ts";
import { UsageReport } from "../../../shared/usage-report.ts";
import { keyRow } from "../../model/key-row.ts";
import type { Problem } from "../../model/problem.ts";
import { Choice } from "../../components/choice.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { showNotice } from "../../state/notice.ts";
import { session } from "../../state/session.ts";
import { KeyDialog } from "./key-dialog.tsx";
import { KeyTable } from "./key-table.tsx";
import { RevokeDialog } from "./revoke-dialog.tsx";
import { RotateDialog } from "./rotate-dialog.tsx";
import { SecretDialog } from "./secret-dialog.tsx";

type Opened =
  | { readonly what: "new" }
  | { readonly what: "change" | "rotate" | "revoke"; readonly key: KeyView }
  | { readonly what: "secret"; readonly made: KeyWithSecret; readonly rotated: boolean };

const SHOWN = { live: "In use", all: "All" } as const;

export function Keys() {
  const { keys, month, more, problem, reload, loadMore } = useKeys();
  const [opened, setOpened] = useState<Opened | null>(null);
  const [shown, setShown] = useState<keyof typeof SHOWN>("live");
  const close = (): void => setOpened(null);
  const done = (text: string): void => {
    showNotice(text);
    close();
    reload();
  };
  const rows = (keys ?? []).map((key) => keyRow(key, month));
  return (
    <div class="view">
      <header class="view-head">
        <h1>Keys</h1>
        <Choice label="Which keys" options={SHOWN} value={shown} onChoose={setShown} />
        <button type="button" class="button primary" onClick={() => setOpened({ what: "new" })}>
          New key
        </button>
      </header>
      <ProblemNote problem={problem} />
      {keys === null ? (
        problem === null && <p class="empty">Loading the keys…</p>
      ) : (
        <KeyTable
          rows={shown === "all" ? rows : rows.filter(({ key }) => key.state !== "revoked")}
          ownKey={session.value?.keyId ?? null}
          onOpen={(what, key) => setOpened({ what, key })}
        />
      )}
      {more ? (
        <button type="button" class="button" onClick={loadMore}>
          Show more
        </button>
      ) : null}
      {opened?.what === "new" ? (
        <KeyDialog
          current={null}
          onClose={close}
          onMade={(made) => {
            setOpened({ what: "secret", made, rotated: false });
            reload();
          }}
          onChanged={() => {}}
        />
      ) : null}
      {opened?.what === "change" ? (
        <KeyDialog
          current={opened.key}
          onClose={close}
          onMade={() => {}}
          onChanged={() => done(`“${opened.key.name}” was changed.`)}
        />
      ) : null}
      {opened?.what === "rotate" ? (
        <RotateDialog
          target={opened.key}
          onClose={close}
          onMade={(made) => {
            setOpened({ what: "secret", made, rotated: true });
            reload();
          }}
        />
      ) : null}
      {opened?.what === "revoke" ? (
        <RevokeDialog
          target={opened.key}
          own={opened.key.id === session.value?.keyId}
          onClose={close}
          onDone={() => done(`“${opened.key.name}” was revoked.`)}
        />
      ) : null}
      {opened?.what === "secret" ? (
        <SecretDialog made={opened.made} rotated={opened.rotated} onClose={close} />
      ) : null}
    </div>
  );
}

interface LoadedKeys {
  /** Null before the first answer. */
  readonly keys: readonly KeyView[] | null;
  readonly month: UsageReport | null;
  readonly more: boolean;
  readonly problem: Problem | null;
  readonly reload: () => void;
  readonly loadMore: () => void;
}

function useKeys(): LoadedKeys {
  const [keys, setKeys] = useState<readonly KeyView[] | null>(null);
  const [month, setMonth] = useState<UsageReport | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const load = useCallback(async (after: string | null) => {
    const edge = session.peek()?.edge;
    if (edge === undefined) return;
    const answer = await edge.get(
      `/admin/keys${after === null ? "" : `?after=${encodeURIComponent(after)}`}`,
      KeyList,
    );
    if (!answer.ok) return setProblem(answer.problem);
    setProblem(null);
    setNext(answer.value.next);
    setKeys((loaded) => [...(after === null ? [] : (loaded ?? [])), ...answer.value.keys]);
  }, []);
  const loadMonth = useCallback(async () => {
    const query = new URLSearchParams({
      by: "key",
      from: new Date(monthStart(Date.now())).toISOString(),
    }).toString();
    const answer = await session.peek()?.edge.get(`/admin/usage?${query}`, UsageReport);
    // Without the month's usage the table is still useful; it shows a dash.
    if (answer?.ok === true) setMonth(answer.value);
  }, []);
  const reload = useCallback(() => {
    void load(null);
    void loadMonth();
  }, []);
  useEffect(reload, []);
  return { keys, month, more: next !== null, problem, reload, loadMore: () => void load(next) };
}
