// What happened, in words, the newest first.
import { useState } from "preact/hooks";
import type { FleetEvent } from "../../../shared/fleet-view.ts";
import { clockTime } from "../../model/duration.ts";
import type { Level } from "../../model/server-state.ts";
import { LevelIcon } from "../../components/icon.tsx";

/** As many as can be taken in at a glance; the rest on request. */
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
        <h2 id="events">What happened</h2>
      </header>
      {events.length === 0 ? (
        <p class="empty">Nothing yet. Restarts, drains and silences stand here as they come.</p>
      ) : (
        <ol class="events">
          {shown.map(({ id, at, level, text, box }) => (
            <li key={id}>
              <LevelIcon level={LEVELS[level]} />
              <span class="event-text">
                {/* One box needs no name. */}
                {box === null || boxes < 2 || text.includes(box) ? null : (
                  <span class="event-box">{box}: </span>
                )}
                {unbroken(text)}
              </span>
              <time dateTime={new Date(at).toISOString()}>{clockTime(at)}</time>
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

/** A number stays with its unit. */
const unbroken = (text: string): string => text.replaceAll(/(\d) (ms|s|min|h|GiB|%)(?![a-z])/g, "$1\u00a0$2");
