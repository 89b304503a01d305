// The fleet's events, newest first.
import { useState } from "preact/hooks";
import type { FleetEvent } from "../../../shared/fleet-view.ts";
import { isoTime, timeText } from "../../model/duration.ts";
import type { Level } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";

/** The number of events that fit in a glance; a button shows the rest. */
const SHOWN = 12;

const LEVELS: Readonly<Record<FleetEvent["level"], Level>> = {
  info: "quiet",
  warn: "warn",
  bad: "bad",
  good: "good",
};

export function EventsPanel({
  events,
  boxes,
}: {
  readonly events: readonly FleetEvent[];
  readonly boxes: number;
}) {
  const [all, setAll] = useState(false);
  const shown = all ? events : events.slice(0, SHOWN);
  return (
    <section class="card" aria-labelledby="events">
      <header class="panel-head">
        <h2 id="events">Events</h2>
      </header>
      {events.length === 0 ? (
        <p class="empty">No events yet. Restarts, drains and outages appear here.</p>
      ) : (
        <ol class="events">
          {shown.map(({ id, at, level, text, box }) => (
            <li key={id}>
              <LevelIcon level={LEVELS[level]} />
              <span class="event-text">
                {/* With a single box its name is redundant. */}
                {box === null || boxes < 2 || text.includes(box) ? null : (
                  <span class="event-box">{box}: </span>
                )}
                {unbroken(text)}
              </span>
              <time dateTime={isoTime(at)}>{timeText(at)}</time>
            </li>
          ))}
        </ol>
      )}
      {events.length > SHOWN ? (
        <button type="button" class="button small quiet" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${events.length}`}
        </button>
      ) : null}
    </section>
  );
}

/** Keeps a number and its unit on one line. */
const unbroken = (text: string): string => text.replaceAll(/(\d) (ms|s|min|h|GiB|%)(?![a-z])/g, "$1\u00a0$2");
