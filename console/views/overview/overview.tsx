// The live fleet: its state in one line, then boxes, traffic, events and failures.
import { boxLevel, headline } from "../../model/headline.ts";
import { freshness } from "../../model/freshness.ts";
import { timeText, forText } from "../../model/duration.ts";
import { quantityText, figure } from "../../model/format.ts";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { byLevel } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";
import { edgeNow, now } from "../../state/clock.ts";
import { fleet, link } from "../../state/session.ts";
import { BoxCard } from "./box-card.tsx";
import { EventsPanel } from "./events-panel.tsx";
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
        </div>
        <div class="overview-side">
          <EventsPanel events={view.events} boxes={view.boxes.length} />
          <FailuresPanel failures={view.failures} />
        </div>
      </div>
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
  const { level, text, troubles } = headline(view, edgeNow.value);
  const { stale } = freshness(link.value, now.value);
  const servers = view.boxes.flatMap((box) => box.servers);
  const sum = (of: (server: (typeof servers)[number]) => number | null): number =>
    servers.reduce((total, server) => total + (of(server) ?? 0), 0);
  return (
    <section class="headline" data-level={stale ? "quiet" : level} aria-label="The fleet now">
      <div class="headline-line">
        <LevelIcon level={stale ? "quiet" : level} />
        <h1>{stale ? `Last known: ${text}` : text}</h1>
      </div>
      {troubles.length === 0 ? null : (
        <ul class="troubles">
          {troubles.slice(0, SHOWN_TROUBLES).map((trouble, index) => (
            <li key={trouble.summary} data-level={trouble.level}>
              {/* The headline already contains the first one. */}
              {index === 0 && text.includes(trouble.sentence) ? null : (
                <span class="trouble-what">
                  <LevelIcon level={trouble.level} /> {trouble.sentence}.{" "}
                </span>
              )}
              <span class="trouble-effect">{trouble.effect}</span>
            </li>
          ))}
          {troubles.length > SHOWN_TROUBLES ? (
            <li>… and {troubles.length - SHOWN_TROUBLES} more below.</li>
          ) : null}
        </ul>
      )}
      <p class="totals">
        {quantityText(view.boxes.length, "box", "boxes")}, {quantityText(servers.length, "server")} ·{" "}
        {sum(({ busy }) => busy)} of {sum(({ slots }) => slots)} slots busy · {sum(({ waiting }) => waiting)}{" "}
        waiting ·{" "}
        {figure(
          sum(({ tokensPerSecond }) => tokensPerSecond),
          1,
        )}{" "}
        tokens/s
      </p>
    </section>
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
