// Calls by agent type, refusals and failures by code, and how often the fleet had to help itself.
import type { FleetTraffic } from "../../../shared/fleet-view.ts";
import { figure } from "../../model/figure.ts";
import { agentRows, callsInAll, codeRows, windowWords } from "../../model/traffic.ts";
import { Bar } from "../../components/bar.tsx";

export function TrafficPanel({ traffic }: { readonly traffic: FleetTraffic }) {
  const agents = agentRows(traffic);
  const codes = codeRows(traffic);
  return (
    <section class="card traffic" aria-labelledby="traffic">
      <header class="panel-head">
        <h2 id="traffic">Traffic</h2>
        <p class="panel-note">{windowWords(traffic)}</p>
      </header>
      <dl class="tallies">
        <Tally name="calls" count={callsInAll(traffic)} />
        <Tally name="refused or failed" count={codes.reduce((sum, { count }) => sum + count, 0)} />
        <Tally name="by another model" count={traffic.fallbacks} />
        <Tally name="recovered" count={traffic.recoveries} />
      </dl>
      <div class="traffic-columns">
        <div>
          <h3>By agent type</h3>
          {agents.length === 0 ? (
            <p class="empty">No call came.</p>
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
              {codes.map(({ name, count, share, note, ours }) => (
                <li key={name}>
                  <span class="bar-name">
                    <code>{name}</code>
                  </span>
                  <span class="bar-count">{figure(count)}</span>
                  <Bar share={share} level={ours ? "bad" : "warn"} />
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
