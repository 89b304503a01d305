// Calls by agent type, refusals and failures by code, fallbacks and recoveries.
import type { FleetTraffic } from "../../../shared/fleet-view.ts";
import { figure } from "../../model/format.ts";
import { agentRows, totalCalls, codeRows, windowText } from "../../model/traffic.ts";
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
          {agents.length === 0 ? (
            <p class="empty">No calls.</p>
          ) : (
            <ul class="bars">
              {agents.map(({ name, count, share, note }) => (
                <li key={name}>
                  <span class="bar-name">{name}</span>
                  <span class="bar-count">{figure(count)}</span>
                  <Bar share={share} />
                  <span class="bar-note">{note}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
        <div>
          <h3>Refusals and failures</h3>
          {codes.length === 0 ? (
            <p class="empty">None.</p>
          ) : (
            <ul class="bars">
              {codes.map(({ name, count, share, note, fleetFailure }) => (
                <li key={name}>
                  <span class="bar-name">
                    <code>{name}</code>
                  </span>
                  <span class="bar-count">{figure(count)}</span>
                  <Bar share={share} level={fleetFailure ? "bad" : "warn"} />
                  <span class="bar-note">{note}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
      </div>
    </section>
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
