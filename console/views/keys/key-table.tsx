// Keys as a table; a list of cards on a phone.
import type { KeyView } from "../../../shared/keys.ts";
import type { KeyRow } from "../../model/key-row.ts";
import { counted, figure, UNKNOWN } from "../../model/figure.ts";
import { Bar } from "../../components/bar.tsx";
import { StateLabel } from "../../components/state-label.tsx";

/** From here on a month's limit is near enough to be told. */
const NEARLY_USED_UP = 0.85;

interface KeyTableProps {
  readonly rows: readonly KeyRow[];
  /** Id of the key that signed in. */
  readonly ownKey: string | null;
  readonly onOpen: (what: "change" | "rotate" | "revoke", key: KeyView) => void;
}

export function KeyTable({ rows, ownKey, onOpen }: KeyTableProps) {
  if (rows.length === 0)
    return <p class="card empty">There is no key yet. The first one you make is shown once.</p>;
  return (
    <div class="card flush">
      <table class="stacking keys" aria-label="Keys">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">May</th>
            <th scope="col">Limits</th>
            <th scope="col">This month</th>
            <th scope="col">
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key.id}>
              <th scope="row">
                <span class="key-name">{row.key.name}</span>
                <code class="key-id">{row.key.id}</code>
                {row.key.id === ownKey ? <span class="tag">yours</span> : null}
              </th>
              <td data-label="State">
                <StateLabel words={row.state} />
                {row.state.meaning === "" ? null : <span class="why">{row.state.meaning}</span>}
              </td>
              <td data-label="May">{row.may}</td>
              <td data-label="Limits">
                {row.limits}
                {row.key.addressExempt ? <span class="why">no limit by address</span> : null}
              </td>
              <td data-label="This month">
                <Use row={row} />
              </td>
              <td class="row-actions">{row.live ? <Actions target={row.key} onOpen={onOpen} /> : null}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Use({ row }: { readonly row: KeyRow }) {
  if (row.use === "") return UNKNOWN;
  return (
    <>
      {row.use}
      {row.useShare === null ? null : (
        <Bar
          share={row.useShare}
          level={row.useShare >= 1 ? "bad" : row.useShare >= NEARLY_USED_UP ? "warn" : "plain"}
        />
      )}
      <span class="why">
        {row.calls === 0
          ? "no call"
          : row.calls < 13
            ? counted(row.calls, "call")
            : `${figure(row.calls)} calls`}
        {row.useShare !== null && row.useShare >= NEARLY_USED_UP
          ? row.useShare >= 1
            ? ", used up"
            : `, ${figure(row.useShare * 100)} % used`
          : ""}
      </span>
    </>
  );
}

function Actions({ target, onOpen }: { readonly target: KeyView; readonly onOpen: KeyTableProps["onOpen"] }) {
  const action = (what: "change" | "rotate" | "revoke", word: string) => (
    <button
      type="button"
      class="button small"
      aria-label={`${word} ${target.name}`}
      onClick={() => onOpen(what, target)}
    >
      {word}
    </button>
  );
  return (
    <span class="button-row">
      {action("change", "Change")}
      {action("rotate", "Rotate")}
      {action("revoke", "Revoke")}
    </span>
  );
}
