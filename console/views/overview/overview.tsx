// The live fleet: its state in one line, then boxes, traffic, events and failures.
import { useState } from "preact/hooks";
import { boxLevel, headline, type Remedy, type Trouble } from "../../model/headline.ts";
import { freshness } from "../../model/freshness.ts";
import { timeText, forText } from "../../model/duration.ts";
import { quantityText } from "../../model/format.ts";
import { loadText } from "../../model/load.ts";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { byLevel } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";
import { edgeNow, now } from "../../state/clock.ts";
import { openItem, routeItem } from "../../state/route.ts";
import { fleet, link } from "../../state/session.ts";
import { BoxCard } from "./box-card.tsx";
import { BoxCommand, type Command } from "./box-command.tsx";
import { EventsPanel } from "./events-panel.tsx";
import { FailureDialog } from "./failure-dialog.tsx";
import { FailuresPanel } from "./failures-panel.tsx";
import { TrafficPanel } from "./traffic-panel.tsx";

/** The boxes below show all of them. */
const SHOWN_TROUBLES = 6;

/** Up to this number all boxes are open; of more, only those that need attention. */
const OPEN_BOXES = 2;

export function Overview() {
  const snapshot = fleet.value;
  if (snapshot === null) return <p class="empty">Waiting for the first update from the edge…</p>;
  const { view } = snapshot;
  return (
    <div class="overview">
      <Stale receivedAt={snapshot.receivedAt} />
      <Head view={view} />
      <Alarms view={view} />
      <div class="overview-columns">
        <div class="overview-main">
          <section aria-label="Boxes" class="boxes">
            {inOrder(view).map((box) => (
              <BoxCard key={box.name} box={box} open={view.boxes.length <= OPEN_BOXES} />
            ))}
          </section>
          <TrafficPanel traffic={view.traffic} />
          <FailuresPanel view={view} />
        </div>
        <div class="overview-side">
          <EventsPanel events={view.events} boxes={view.boxes.length} />
        </div>
      </div>
      {routeItem.value === "" ? null : (
        <FailureDialog key={routeItem.value} requestId={routeItem.value} onClose={() => openItem("")} />
      )}
    </div>
  );
}

/** A few boxes keep their order; of many, those that need attention come first. */
function inOrder({ boxes }: FleetView): FleetView["boxes"] {
  if (boxes.length <= OPEN_BOXES) return boxes;
  return boxes
    .map((box) => ({ box, level: boxLevel(box) }))
    .toSorted(byLevel)
    .map(({ box }) => box);
}

function Stale({ receivedAt }: { readonly receivedAt: number }) {
  const { stale, text: staleText } = freshness(link.value, now.value);
  if (!stale) return null;
  return (
    <div class="banner" data-level="bad">
      <LevelIcon level="bad" />
      <p>
        <strong>{staleText}</strong> What you see is from {timeText(link.value.lastUpdateAt ?? receivedAt)}.
      </p>
    </div>
  );
}

function Head({ view }: { readonly view: FleetView }) {
  const [remedy, setRemedy] = useState<Remedy | null>(null);
  const { level, text, troubles } = headline(view, edgeNow.value);
  const { stale } = freshness(link.value, now.value);
  const servers = view.boxes.flatMap((box) => box.servers);
  const box = view.boxes.find(({ name }) => name === remedy?.box);
  return (
    <section class="headline" data-level={stale ? "quiet" : level} aria-label="The fleet now">
      <div class="headline-line">
        <LevelIcon level={stale ? "quiet" : level} />
        <h1>{stale ? `Last known: ${text}` : text}</h1>
      </div>
      {troubles.length === 0 ? null : (
        <ul class="troubles">
          {troubles.slice(0, SHOWN_TROUBLES).map((trouble, index) => (
            <TroubleLine
              key={trouble.summary}
              trouble={trouble}
              // The headline already contains the first one.
              stated={index === 0 && text.includes(trouble.sentence)}
              onRemedy={setRemedy}
            />
          ))}
          {troubles.length > SHOWN_TROUBLES ? (
            <li>… and {troubles.length - SHOWN_TROUBLES} more below.</li>
          ) : null}
        </ul>
      )}
      <p class="totals">
        {quantityText(view.boxes.length, "box", "boxes")}, {quantityText(servers.length, "server")} ·{" "}
        {stale ? "their load is unknown" : loadText(servers)}
      </p>
      {remedy === null || box === undefined ? null : (
        <BoxCommand box={box} command={commandOf(remedy)} onClose={() => setRemedy(null)} />
      )}
    </section>
  );
}

const commandOf = ({ kind, port }: Remedy): Command =>
  kind === "restart" && port !== null ? { kind, port } : { kind: "resume" };

interface TroubleLineProps {
  readonly trouble: Trouble;
  readonly stated: boolean;
  readonly onRemedy: (remedy: Remedy) => void;
}

function TroubleLine({ trouble, stated, onRemedy }: TroubleLineProps) {
  const { level, sentence, effect, remedy } = trouble;
  if (stated && effect === "" && remedy === null) return null;
  return (
    <li data-level={level}>
      <span>
        {stated ? null : (
          <span class="trouble-what">
            <LevelIcon level={level} /> {sentence}.{" "}
          </span>
        )}
        <span class="trouble-effect">{effect}</span>
      </span>
      {remedy === null ? null : (
        <button type="button" class="button small" onClick={() => onRemedy(remedy)}>
          {remedy.kind === "resume" ? `Resume ${remedy.box}` : `Restart ${remedy.port}`}
        </button>
      )}
    </li>
  );
}

function Alarms({ view }: { readonly view: FleetView }) {
  if (view.alarms.length === 0) return null;
  return (
    <section class="alarms" aria-label="Alarms">
      {view.alarms.map((alarm) => (
        <article key={alarm.id} class="alarm">
          <LevelIcon level="bad" />
          <div>
            <h2>
              {alarm.text} <span class="alarm-since">active {forText(alarm.since, edgeNow.value)}</span>
            </h2>
            <p>{withCode(alarm.advice)}</p>
          </div>
        </article>
      ))}
    </section>
  );
}

/** Text between backticks is shown as code. */
function withCode(text: string) {
  return text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}
