// Calls by agent type, refusals and failures by code, fallbacks and recoveries.
import type { FleetTraffic } from "../../../shared/fleet-view.ts";
import { figure } from "../../model/format.ts";
import { agentRows, totalCalls, codeRows, windowText, type BarRow } from "../../model/traffic.ts";
import { Bar } from "../../components/bar.tsx";

export function TrafficPanel({ traffic }: { readonly traffic: FleetTraffic }) {
  const agents = agentRows(traffic);
  const codes = codeRows(traffic);
  return (
    <section class="card traffic" aria-labelledby="traffic">
      <header class="panel-head">
        <h2 id="traffic">Traffic</h2>
        <p class="panel-note">{windowText(traffic)}</p>
      </header>
      <dl class="tallies">
        <Tally name="calls" count={totalCalls(traffic)} />
        <Tally name="refused or failed" count={codes.reduce((sum, { count }) => sum + count, 0)} />
        <Tally name="by another model" count={traffic.fallbacks} />
        <Tally name="recovered" count={traffic.recoveries} />
      </dl>
      <div class="traffic-columns">
        <div>
          <h3>By agent type</h3>
          <Bars rows={agents} empty="No calls." />
        </div>
        <div>
          <h3>Refusals and failures</h3>
          <Bars rows={codes} empty="None." />
        </div>
      </div>
    </section>
  );
}

function Bars({ rows, empty }: { readonly rows: readonly BarRow[]; readonly empty: string }) {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    <ul class="bars">
      {rows.map(({ name, count, share, note, fleetFailure }) => (
        <li key={name}>
          <span class="bar-name">{fleetFailure === undefined ? name : <code>{name}</code>}</span>
          <span class="bar-count">{figure(count)}</span>
          <Bar share={share} level={fleetFailure === undefined ? "plain" : fleetFailure ? "bad" : "warn"} />
          <span class="bar-note">{note}</span>
        </li>
      ))}
    </ul>
  );
}

function Tally({ name, count }: { readonly name: string; readonly count: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{figure(count)}</dd>
    </div>
  );
}
