// The traffic of a chosen window: rates and error shares, latencies by agent type, and error codes. A bar filters this
// panel and the failures.
import type { FleetTraffic } from "../../../shared/fleet-view.ts";
import { NO_AGENT } from "../../model/failures.ts";
import { figure, latency, percent, rate } from "../../model/format.ts";
import {
  agentRows,
  codeRows,
  isWindowName,
  totalsOf,
  WINDOWS,
  windowOf,
  windowText,
  type AgentRow,
  type CodeRow,
  type Totals,
} from "../../model/traffic.ts";
import { Bar } from "../../components/bar.tsx";
import { Choice } from "../../components/choice.tsx";
import { routeQuery, setQuery } from "../../state/route.ts";

export function TrafficPanel({ traffic }: { readonly traffic: FleetTraffic }) {
  const { window: chosen = "", agent: chosenAgent = "", code = "" } = routeQuery.value;
  // The failures can be filtered by an unknown agent type; every counted call has one.
  const agent = chosenAgent === NO_AGENT ? "" : chosenAgent;
  const name = isWindowName(chosen) ? chosen : "300";
  const window = windowOf(traffic, name);
  const totals = totalsOf(window, agent);
  return (
    <section class="card traffic" aria-labelledby="traffic">
      <header class="panel-head">
        <h2 id="traffic">Traffic</h2>
        <p class="panel-note">
          {agent === "" ? "" : `${agent}, `}
          {windowText(window)}
        </p>
        <Choice
          label="Window"
          options={WINDOWS}
          value={name}
          onChoose={(next) => setQuery({ window: next === "300" ? "" : next })}
        />
      </header>
      <dl class="tallies">
        <Tally
          name="calls per second"
          value={rate(totals.perSecond)}
          note={countText(totals.calls, "call")}
        />
        <Tally
          name="failed, our fault"
          value={percent(totals.ours.share)}
          note={requestsText(totals, totals.ours.count)}
          level={totals.ours.count === null || totals.ours.count === 0 ? "plain" : "bad"}
        />
        <Tally
          name="refused, the callers' fault"
          value={percent(totals.callers.share)}
          note={requestsText(totals, totals.callers.count)}
        />
      </dl>
      <AgentTable rows={agentRows(window)} chosen={agent} />
      {totals.refusedAtEdge === null || totals.refusedAtEdge === 0 ? null : (
        <p class="panel-note at-edge">
          By agent type: as the boxes counted. The edge itself refused or ended{" "}
          {countText(totals.refusedAtEdge, "request")}.
        </p>
      )}
      <Codes rows={codeRows(window)} chosen={code} />
      {name === "300" && window?.byAgent !== null && traffic.windowS > 0 ? (
        <p class="panel-note">
          {figure(traffic.fallbacks)} answered by another model than the requested one,{" "}
          {figure(traffic.recoveries)} retried or continued after a server failed.
        </p>
      ) : null}
    </section>
  );
}

const countText = (count: number | null, noun: string): string =>
  count === null ? "unknown" : `${figure(count)} ${noun}${count === 1 ? "" : "s"}`;

/** If no agent reports, the edge's own count is all that is known. */
const requestsText = ({ calls }: Totals, count: number | null): string =>
  `${countText(count, "request")}${calls === null && count !== null ? " at the edge" : ""}`;

interface TallyProps {
  readonly name: string;
  readonly value: string;
  readonly note: string;
  readonly level?: "plain" | "bad";
}

function Tally({ name, value, note, level = "plain" }: TallyProps) {
  return (
    <div data-level={level}>
      <dt>
        {name} <span class="tally-note">{note}</span>
      </dt>
      <dd>{value}</dd>
    </div>
  );
}

function AgentTable({
  rows,
  chosen,
}: {
  readonly rows: readonly AgentRow[] | null;
  readonly chosen: string;
}) {
  if (rows === null) return <p class="empty">Calls by agent type are unknown.</p>;
  if (rows.length === 0) return <p class="empty">No calls in this time.</p>;
  return (
    <div class="agent-table">
      <table class="stacking" aria-label="Calls by agent type">
        <thead>
          <tr>
            <th scope="col">Agent type</th>
            <th scope="col" class="number">
              Calls/s
            </th>
            <th scope="col" class="number">
              Our errors
            </th>
            <th scope="col" class="number">
              Callers' errors
            </th>
            <th scope="col" class="number">
              First token <span class="of">p50 / p95</span>
            </th>
            <th scope="col" class="number">
              Total time <span class="of">p50 / p95</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <AgentLine key={row.agent} row={row} chosen={chosen} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AgentLine({ row, chosen }: { readonly row: AgentRow; readonly chosen: string }) {
  const { agent, perSecond, share, calls, ours, callers, latency: times } = row;
  const pressed = agent === chosen;
  return (
    <tr>
      <th scope="row">
        <button
          type="button"
          class="bar-button"
          aria-pressed={pressed}
          title={pressed ? "Show all agent types" : `Show only ${agent}`}
          onClick={() => setQuery({ agent: pressed ? "" : agent })}
        >
          <span class="bar-name">{agent}</span>
          <Bar share={share} />
        </button>
      </th>
      <td data-label="Calls/s" class="number" title={countText(calls, "call")}>
        {rate(perSecond)}
      </td>
      <td data-label="Our errors" class="number" data-level={ours === null || ours === 0 ? "plain" : "bad"}>
        {percent(ours)}
      </td>
      <td data-label="Callers' errors" class="number">
        {percent(callers)}
      </td>
      <td data-label="First token p50 / p95" class="number">
        {latency(times.firstP50Ms)} <span class="of">/</span> {latency(times.firstP95Ms)}
      </td>
      <td data-label="Total time p50 / p95" class="number">
        {latency(times.p50Ms)} <span class="of">/</span> {latency(times.p95Ms)}
      </td>
    </tr>
  );
}

function Codes({ rows, chosen }: { readonly rows: readonly CodeRow[]; readonly chosen: string }) {
  const ours = rows.filter((row) => row.ours);
  const callers = rows.filter((row) => !row.ours);
  return (
    <div class="traffic-columns">
      <div>
        <h3>Our failures</h3>
        <CodeBars rows={ours} chosen={chosen} />
      </div>
      <div>
        <h3>The callers' errors</h3>
        <CodeBars rows={callers} chosen={chosen} />
      </div>
    </div>
  );
}

function CodeBars({ rows, chosen }: { readonly rows: readonly CodeRow[]; readonly chosen: string }) {
  if (rows.length === 0) return <p class="empty">None.</p>;
  return (
    <ul class="bars">
      {rows.map(({ code, count, share, note, ours }) => (
        <li key={code}>
          <button
            type="button"
            class="bar-button"
            aria-pressed={code === chosen}
            title={code === chosen ? "Show all codes" : `Show only ${code}`}
            onClick={() => setQuery({ code: code === chosen ? "" : code })}
          >
            <span class="bar-name">
              <code>{code}</code> <span class="bar-note">{note}</span>
            </span>
            <span class="bar-count">{figure(count)}</span>
            <Bar share={share} level={ours ? "bad" : "warn"} />
          </button>
        </li>
      ))}
    </ul>
  );
}
