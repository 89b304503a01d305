// The live fleet: what is wrong in one line, then the boxes, the traffic and what happened.
import { boxLevel, headline, sentence } from "../../model/headline.ts";
import { freshness } from "../../model/freshness.ts";
import { clockTime, sinceWords } from "../../model/duration.ts";
import { counted, figure } from "../../model/figure.ts";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { byLevel } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";
import { edgeNow, now } from "../../state/clock.ts";
import { fleet, link } from "../../state/session.ts";
import { BoxCard } from "./box-card.tsx";
import { EventsPanel } from "./events-panel.tsx";
import { FailuresPanel } from "./failures-panel.tsx";
import { TrafficPanel } from "./traffic-panel.tsx";

/** As many as are read at once; the boxes below show all. */
const SHOWN_TROUBLES = 6;

/** Up to so many boxes stand open; of more, only those with something to see to. */
const OPEN_BOXES = 2;

export function Overview() {
  const heard = fleet.value;
  if (heard === null) return <p class="empty">Waiting for the edge's first word…</p>;
  const { view } = heard;
  return (
    <div class="overview">
      <Stale lastSeenAt={heard.lastSeenAt} />
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

/** A few boxes keep their places; of many, those with something to see to come first. */
function inOrder({ boxes }: FleetView): FleetView["boxes"] {
  if (boxes.length <= OPEN_BOXES) return boxes;
  return boxes
    .map((box) => ({ box, level: boxLevel(box) }))
    .toSorted(byLevel)
    .map(({ box }) => box);
}

function Stale({ lastSeenAt }: { readonly lastSeenAt: number }) {
  const fresh = freshness(link.value, now.value);
  if (!fresh.stale) return null;
  return (
    <div class="banner" data-level="bad">
      <LevelIcon level="bad" />
      <p>
        <strong>{fresh.text}</strong> What you see is as of {clockTime(link.value.wordAt ?? lastSeenAt)}.
      </p>
    </div>
  );
}

function Head({ view }: { readonly view: FleetView }) {
  const { level, shown, troubles } = headline(view, edgeNow.value);
  const { stale } = freshness(link.value, now.value);
  const servers = view.boxes.flatMap((box) => box.servers);
  const sum = (of: (server: (typeof servers)[number]) => number | null): number =>
    servers.reduce((total, server) => total + (of(server) ?? 0), 0);
  return (
    <section class="headline" data-level={stale ? "quiet" : level} aria-label="The fleet now">
      <div class="headline-line">
        <LevelIcon level={stale ? "quiet" : level} />
        <h1>{stale ? `Last known: ${shown}` : shown}</h1>
      </div>
      {troubles.length === 0 ? null : (
        <ul class="troubles">
          {troubles.slice(0, SHOWN_TROUBLES).map((trouble, index) => (
            <li key={trouble.what} data-level={trouble.level}>
              {/* The first stands in the headline already. */}
              {index === 0 && shown.includes(trouble.what) ? null : (
                <span class="trouble-what">
                  <LevelIcon level={trouble.level} /> {sentence(trouble)}.{" "}
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
        {counted(view.boxes.length, "box", "boxes")}, {counted(servers.length, "server")} ·{" "}
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
              {alarm.text} <span class="alarm-since">{sinceWords(alarm.since, edgeNow.value)}</span>
            </h2>
            <p>{withCode(alarm.advice)}</p>
          </div>
        </article>
      ))}
    </section>
  );
}

/** What stands between backticks is to be typed. */
function withCode(text: string) {
  return text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}
