// Usage: tokens and calls, by key, model, agent type or day.
import { useMemo, useState } from "preact/hooks";
import { KeyList } from "../../../shared/keys.ts";
import { UsageReport } from "../../../shared/usage-report.ts";
import {
  RANGES,
  totalRow,
  USAGE_BY,
  usagePath,
  usageRows,
  type TimeRange,
  type UsageBy,
  type UsageRow,
} from "../../model/usage-table.ts";
import { Bar } from "../../components/bar.tsx";
import { Choice } from "../../components/choice.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { Select } from "../../components/select.tsx";
import { useAnswer } from "../../state/request.ts";
import { now } from "../../state/clock.ts";

const GROUP_LABELS = {
  key: "Key",
  model: "Model",
  agent: "Agent type",
  day: "Day",
} as const satisfies Record<UsageBy, string>;

export function Usage() {
  const [by, setBy] = useState<UsageBy>("key");
  const [range, setRange] = useState<TimeRange>("month");
  // The path is the same all day, so it is requested only when a choice changes.
  const { value: report, problem } = useAnswer(usagePath(by, range, now.peek()), UsageReport);
  const names = useKeyNames();
  return (
    <div class="view">
      <header class="view-head">
        <h1>Usage</h1>
        <Choice label="Grouped by" options={GROUP_LABELS} value={by} onChoose={setBy} />
        <Select label="Time range" options={RANGES} value={range} onChoose={setRange} />
      </header>
      <ProblemNote problem={problem} />
      {report === null ? (
        problem === null && <p class="empty">Loading the usage…</p>
      ) : (
        <UsageTable report={report} names={names} />
      )}
      <p class="foot-note">
        Days are in UTC. A call is counted when its box has reported it, within seconds.
      </p>
    </div>
  );
}

function UsageTable({
  report,
  names,
}: {
  readonly report: UsageReport;
  readonly names: ReadonlyMap<string, string>;
}) {
  if (report.rows.length === 0) return <p class="card empty">No calls in this time.</p>;
  const by = USAGE_BY.find((group) => group === report.by) ?? "key";
  return (
    <div class="card flush">
      <table class="stacking usage" aria-label="Usage">
        <thead>
          <tr>
            <th scope="col">{GROUP_LABELS[by]}</th>
            {["Calls", "Complete", "Prompt tokens", "From cache", "Answer tokens"].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {usageRows(report, names).map((row) => (
            <Row key={row.group} row={row} />
          ))}
        </tbody>
        <tfoot>
          <Row row={totalRow(report)} />
        </tfoot>
      </table>
    </div>
  );
}

function Row({ row }: { readonly row: UsageRow }) {
  return (
    <tr>
      <th scope="row">
        <span class="key-name">{row.name}</span>
        {row.name === row.group || row.group === "total" ? null : <code class="key-id">{row.group}</code>}
        {row.share === 0 ? null : <Bar share={row.share} />}
      </th>
      <td data-label="Calls" class="number">
        {row.calls}
        {row.estimated === "" ? null : <span class="why">{row.estimated}</span>}
      </td>
      <td data-label="Complete" class="number">
        {row.complete}
      </td>
      <td data-label="Prompt tokens" class="number">
        {row.prompt}
      </td>
      <td data-label="From cache" class="number">
        {row.cached}
      </td>
      <td data-label="Answer tokens" class="number">
        {row.completion}
      </td>
    </tr>
  );
}

/** Names of the keys on the first page by id; other keys are shown by id. */
function useKeyNames(): ReadonlyMap<string, string> {
  const { value } = useAnswer("/admin/keys", KeyList);
  return useMemo(() => new Map((value?.keys ?? []).map(({ id, name }) => [id, name])), [value]);
}
