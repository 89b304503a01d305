// The table of keys; a list of cards on a phone.
import type { KeyView } from "../../../shared/keys.ts";
import type { KeyRow } from "../../model/key-row.ts";
import { quantityText, figure, UNKNOWN } from "../../model/format.ts";
import { Bar } from "../../components/bar.tsx";
import { StateLabel } from "../../components/state-label.tsx";

/** From this share on, a key's monthly limit is marked. */
const NEARLY_USED_UP = 0.85;

interface KeyTableProps {
  readonly rows: readonly KeyRow[];
  /** Id of the key that signed in. */
  readonly ownKey: string | null;
  readonly onOpen: (what: "change" | "rotate" | "revoke", key: KeyView) => void;
}

export function KeyTable({ rows, ownKey, onOpen }: KeyTableProps) {
  if (rows.length === 0) return <p class="card empty">There are no keys yet.</p>;
  return (
    <div class="card flush">
      <table class="stacking keys" aria-label="Keys">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Permissions</th>
            <th scope="col">Limits</th>
            <th scope="col">This month</th>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
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
                <StateLabel state={row.state} />
                {row.state.meaning === "" ? null : <span class="why">{row.state.meaning}</span>}
              </td>
              <td data-label="Permissions">{row.permissions}</td>
              <td data-label="Limits">
                {row.limits}
                {row.key.addressExempt ? <span class="why">no limit by address</span> : null}
              </td>
              <td data-label="This month">
                <MonthUsage row={row} />
              </td>
              <td class="row-actions">{row.live ? <Actions target={row.key} onOpen={onOpen} /> : null}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function MonthUsage({ row }: { readonly row: KeyRow }) {
  if (row.usage === "") return UNKNOWN;
  return (
    <>
      {row.usage}
      {row.usageShare === null ? null : (
        <Bar
          share={row.usageShare}
          level={row.usageShare >= 1 ? "bad" : row.usageShare >= NEARLY_USED_UP ? "warn" : "plain"}
        />
      )}
      <span class="why">
        {row.calls === 0
          ? "no calls"
          : row.calls < 13
            ? quantityText(row.calls, "call")
            : `${figure(row.calls)} calls`}
        {row.usageShare !== null && row.usageShare >= NEARLY_USED_UP
          ? row.usageShare >= 1
            ? ", used up"
            : `, ${figure(row.usageShare * 100)} % used`
          : ""}
      </span>
    </>
  );
}

function Actions({ target, onOpen }: { readonly target: KeyView; readonly onOpen: KeyTableProps["onOpen"] }) {
  const action = (what: "change" | "rotate" | "revoke", label: string) => (
    <button
      type="button"
      class="button small"
      aria-label={`${label} ${target.name}`}
      onClick={() => onOpen(what, target)}
    >
      {label}
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
