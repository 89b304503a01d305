// The servers of a box as a table; a list of cards on a phone.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { FleetBoxView, FleetServerView } from "../../../shared/fleet-view.ts";
import { forText } from "../../model/duration.ts";
import { figure, gib, latency, quantityText, UNKNOWN } from "../../model/format.ts";
import { SERVER_STATE_TEXT } from "../../model/server-state.ts";
import { Icon } from "../../components/icon.tsx";
import { serverColour } from "../../components/memory-bar.tsx";
import { Slots } from "../../components/slots.tsx";
import { StateLabel } from "../../components/state-label.tsx";
import { edgeNow } from "../../state/clock.ts";
import { narrow } from "../../state/narrow.ts";

interface ServerListProps {
  readonly box: FleetBoxView;
  readonly onRestart: (port: number) => void;
}

export function ServerList({ box, onRestart }: ServerListProps) {
  const [all, setAll] = useState(false);
  const rows = box.servers.map((server, index) => ({ server, index }));
  // On a phone the healthy ones wait behind a button if others need attention.
  const troubled = narrow.value ? rows.filter(({ server }) => needsAttention(server)) : [];
  const healthy = rows.length - troubled.length;
  const shown =
    troubled.length === 0
      ? rows
      : all
        ? [...troubled, ...rows.filter(({ server }) => !needsAttention(server))]
        : troubled;
  if (box.servers.length === 0) return <p class="empty">The fleet file lists no servers for this box.</p>;
  return (
    <div class="servers">
      <table class="stacking" aria-label={`Servers of ${box.name}`}>
        <thead>
          <tr>
            <th scope="col">Server</th>
            <th scope="col">State</th>
            <th scope="col">Slots</th>
            <Figure>Waiting</Figure>
            <Figure>Tokens/s</Figure>
            <Figure>
              First token <span class="of">p50 / p95</span>
            </Figure>
            <Figure>Memory</Figure>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ server, index }) => (
            <ServerRow
              key={server.port}
              server={server}
              colour={serverColour(index)}
              reachable={box.state !== "silent"}
              onRestart={() => onRestart(server.port)}
            />
          ))}
        </tbody>
      </table>
      {troubled.length === 0 || healthy === 0 ? null : (
        <button type="button" class="button small quiet servers-more" onClick={() => setAll(!all)}>
          {all ? "Hide the healthy ones" : `Show ${quantityText(healthy, "healthy server")}`}
        </button>
      )}
    </div>
  );
}

const needsAttention = ({ state }: FleetServerView): boolean => SERVER_STATE_TEXT[state].level !== "good";

function Figure({ children }: { readonly children: ComponentChildren }) {
  return (
    <th scope="col" class="number">
      {children}
    </th>
  );
}

interface ServerRowProps {
  readonly server: FleetServerView;
  readonly colour: string;
  readonly reachable: boolean;
  readonly onRestart: () => void;
}

function ServerRow({ server, colour, reachable, onRestart }: ServerRowProps) {
  const state = SERVER_STATE_TEXT[server.state];
  const known = server.state !== "unknown";
  return (
    <tr data-level={state.level}>
      <th scope="row">
        <span class="server">
          <span class="swatch" style={{ backgroundColor: colour }} aria-hidden="true" />
          <span class="server-name">
            <span class="server-port">{server.port}</span> <span class="server-model">{server.model}</span>
            <span class="server-agents">
              {server.agents.length === 0 ? "no agent types of its own" : server.agents.join(", ")}
            </span>
          </span>
        </span>
      </th>
      <td data-label="State">
        <StateLabel state={state} note={forText(server.since, edgeNow.value)} />
        {server.why === "" ? null : <span class="why">{server.why}</span>}
      </td>
      <td data-label="Slots">{known ? <Slots slots={server.slots} busy={server.busy} /> : UNKNOWN}</td>
      <td data-label="Waiting" class="number">
        {known ? figure(server.waiting) : UNKNOWN}
        {known ? <span class="of"> of {figure(server.places)}</span> : null}
        {server.waiting > 0 && server.waitMs !== null ? (
          <span class="why">about {latency(server.waitMs)}</span>
        ) : null}
      </td>
      <td data-label="Tokens/s" class="number">
        {figure(server.tokensPerSecond, 1)}
      </td>
      <td data-label="First token p50 / p95" class="number">
        {latency(known ? server.firstTokenP50Ms : null)} <span class="of">/</span>{" "}
        {latency(known ? server.firstTokenP95Ms : null)}
      </td>
      <td data-label="Memory" class="number">
        {gib(server.gpuGib)} <span class="of">of {figure(server.budgetGib, 1)}</span>
        {server.restarts === null || server.restarts === 0 ? null : (
          <span class="why">
            {server.restarts === 1 ? "1 restart" : `${figure(server.restarts)} restarts`}
          </span>
        )}
      </td>
      <td class="row-actions">
        <button
          type="button"
          class="icon-button"
          aria-label={`Restart ${server.port}`}
          title={`Restart ${server.port}`}
          disabled={!reachable}
          onClick={onRestart}
        >
          <Icon name="restart" />
        </button>
      </td>
    </tr>
  );
}
