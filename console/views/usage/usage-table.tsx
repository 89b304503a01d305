// The table of usage: one row for each key, model or agent type; a list of cards on a phone.
import { useState } from "preact/hooks";
import type { UsageReport } from "../../../shared/usage-report.ts";
import { figure } from "../../model/format.ts";
import { totalRow, usageRows, type UsageRow } from "../../model/usage-table.ts";
import { Bar } from "../../components/bar.tsx";

/** Rows before "Show all". */
const ROWS = 25;

const FIGURES = {
  calls: "Calls",
  complete: "Complete",
  prompt: "Prompt tokens",
  cached: "From cache",
  completion: "Answer tokens",
} as const;

interface UsageTableProps {
  readonly report: UsageReport;
  readonly title: string;
  /** The keys' names by id. */
  readonly names: ReadonlyMap<string, string>;
  /** Shows one key only; null if the rows aren't keys, or it is the only one. */
  readonly onKey: ((id: string) => void) | null;
}

export function UsageTable({ report, title, names, onKey }: UsageTableProps) {
  const [all, setAll] = useState(false);
  const rows = usageRows(report, names);
  const shown = all ? rows : rows.slice(0, ROWS);
  return (
    <div class="card flush">
      <table class="stacking usage" aria-label="Usage">
        <thead>
          <tr>
            <th scope="col">{title}</th>
            {Object.values(FIGURES).map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <Row key={row.group} row={row} onKey={onKey} />
          ))}
        </tbody>
        <tfoot>
          <Row row={totalRow(report)} onKey={null} />
        </tfoot>
      </table>
      {shown.length === rows.length ? null : (
        <button type="button" class="button small show-all" onClick={() => setAll(true)}>
          Show all {figure(rows.length)}
        </button>
      )}
    </div>
  );
}

function Row({ row, onKey }: { readonly row: UsageRow; readonly onKey: UsageTableProps["onKey"] }) {
  return (
    <tr>
      <th scope="row">
        {onKey === null ? (
          <span class="key-name">{row.name}</span>
        ) : (
          <button
            type="button"
            class="key-name as-link"
            title="Show only this key"
            onClick={() => onKey(row.group)}
          >
            {row.name}
          </button>
        )}
        {row.name === row.group || row.group === "total" ? null : <code class="key-id">{row.group}</code>}
        {row.note === "" ? null : <span class="why">{row.note}</span>}
        {row.share === 0 ? null : <Bar share={row.share} />}
      </th>
      {(Object.keys(FIGURES) as (keyof typeof FIGURES)[]).map((name) => (
        <td key={name} data-label={FIGURES[name]} class="number">
          {row[name]}
          {name !== "calls" || row.estimated === "" ? null : <span class="why">{row.estimated}</span>}
        </td>
      ))}
    </tr>
  );
}
