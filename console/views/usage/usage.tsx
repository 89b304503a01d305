// Usage: calls and tokens over time and in a table, by key, model or agent type.
import { useMemo } from "preact/hooks";
import { UsageReport, type UsageSplit } from "../../../shared/usage-report.ts";
import { usageChart } from "../../model/usage-chart.ts";
import {
  chartPath,
  hasHours,
  MEASURES,
  RANGES,
  STEPS,
  tablePath,
  usageChoice,
  type UsageChoice,
} from "../../model/usage-choice.ts";
import { Choice } from "../../components/choice.tsx";
import { RetryNote } from "../../components/retry-note.tsx";
import { Select } from "../../components/select.tsx";
import { edgeNow } from "../../state/clock.ts";
import { useKeyNames, type KeyNames } from "../../state/key-names.ts";
import { useAnswer } from "../../state/request.ts";
import { routeQuery, setQuery } from "../../state/route.ts";
import { CsvButton } from "./csv-button.tsx";
import { UsageChart } from "./usage-chart.tsx";
import { UsageTable } from "./usage-table.tsx";

const GROUPS = {
  model: "Model",
  agent: "Agent type",
  key: "Key",
} as const satisfies Record<UsageSplit, string>;

/** Interval of requests: boxes report calls within seconds, but usage is not watched live. */
const EVERY_MS = 60_000;

export function Usage() {
  const choice = usageChoice(routeQuery.value);
  const names = useKeyNames();
  const time = edgeNow.peek();
  // The paths are the same all day, so a new choice is requested at once, and the same one every minute.
  const table = useAnswer(tablePath(choice, time), UsageReport, EVERY_MS);
  const series = useAnswer(chartPath(choice, time), UsageReport, EVERY_MS);
  const chart = useMemo(
    () => (series.value === null ? null : usageChart(series.value, choice.measure, names, edgeNow.peek())),
    [series.value, choice.measure, names],
  );
  const problem = table.problem ?? series.problem;
  const isCurrent = table.isCurrent && series.isCurrent;
  const retry = (): void => {
    table.retry();
    series.retry();
  };
  return (
    <div class="view">
      <header class="view-head">
        <h1>Usage</h1>
        <CsvButton path={tablePath(choice, time)} label="Download CSV" />
        <CsvButton path={chartPath(choice, time)} label={`CSV by ${choice.step}`} />
      </header>
      <Filters choice={choice} names={names} />
      <RetryNote problem={problem} showsEarlier={isCurrent} onRetry={retry} />
      {table.value === null || chart === null || (problem !== null && !isCurrent) ? (
        problem === null && <p class="empty">Loading the usage…</p>
      ) : (
        <div class="usage-report" aria-busy={!isCurrent} data-old={!isCurrent}>
          {table.value.rows.length === 0 ? (
            <p class="card empty">
              {choice.key === "" ? "No calls in this time." : "No calls with this key in this time."}
            </p>
          ) : (
            <>
              <UsageChart title={`${MEASURES[choice.measure]} by ${choice.step}`} chart={chart} />
              <UsageTable
                report={table.value}
                title={GROUPS[choice.by]}
                names={names}
                onKey={choice.by === "key" && choice.key === "" ? (key) => setQuery({ key }) : null}
              />
            </>
          )}
        </div>
      )}
      <p class="foot-note">
        Days and hours are in UTC. A call is counted under the hour of its start, once its box has reported
        it: within seconds, or when a lost link is back. The tokens of a call that broke off are estimated.
      </p>
    </div>
  );
}

function Filters({ choice, names }: { readonly choice: UsageChoice; readonly names: KeyNames }) {
  const keys = useMemo(() => keyOptions(names, choice.key), [names, choice.key]);
  return (
    <div class="filters">
      <Choice label="Grouped by" options={GROUPS} value={choice.by} onChoose={(by) => setQuery({ by })} />
      <Choice
        label="Measure"
        options={MEASURES}
        value={choice.measure}
        onChoose={(measure) => setQuery({ measure })}
      />
      {hasHours(choice.range) ? (
        <Choice label="Columns" options={STEPS} value={choice.step} onChoose={(step) => setQuery({ step })} />
      ) : null}
      <Select
        label="Time range"
        options={RANGES}
        value={choice.range}
        onChoose={(range) => setQuery({ range, step: "" })}
      />
      <Select label="Show" options={keys} value={choice.key} onChoose={(key) => setQuery({ key })} />
    </div>
  );
}

/** The keys by name. A key in the address that isn't listed has an option of its own. */
function keyOptions(names: KeyNames, chosen: string): Record<string, string> {
  const named = [...names].toSorted(([, a], [, b]) => a.localeCompare(b));
  const unlisted = chosen === "" || names.has(chosen) ? [] : [[chosen, chosen] as const];
  return { "": "all keys", ...Object.fromEntries(named), ...Object.fromEntries(unlisted) };
}
