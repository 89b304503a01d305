// GPU memory of a box: a segment for each server, and a mark at the end of the plan.
import { gib } from "../model/format.ts";
import type { MemoryBar as Model } from "../model/memory-bar.ts";

/** Server colours in colours.css; further servers reuse them. */
export const SERVER_COLOURS = 8;

/** @param index of the server in its box. */
export const serverColour = (index: number): string => `var(--series-${index % SERVER_COLOURS})`;

export function MemoryBar({ bar }: { readonly bar: Model }) {
  return (
    <figure class="memory">
      <figcaption>
        <span class="memory-title">GPU memory</span>
        <span class="memory-text">{bar.text}</span>
      </figcaption>
      <div class="memory-bar" role="img" aria-label={labelOf(bar)}>
        <div class="memory-segments">
          {bar.segments.map(({ key, label, gib: used, share, colour, overBudget }) => (
            <div
              key={key}
              class={overBudget ? "memory-segment over" : "memory-segment"}
              style={{
                width: `${(share * 100).toFixed(2)}%`,
                backgroundColor: colour === null ? "var(--quiet)" : serverColour(colour),
              }}
              title={`${label}: ${gib(used)}`}
            >
              {colour !== null ? <span>{key}</span> : null}
            </div>
          ))}
        </div>
        <div
          class="memory-budget"
          style={{ left: `${(bar.budgetShare * 100).toFixed(2)}%` }}
          title={`planned: ${gib(bar.budgetGib)}`}
        />
      </div>
    </figure>
  );
}

function labelOf({ text, segments }: Model): string {
  const each = segments.map(({ label, gib: used }) => `${label} ${used === null ? "unknown" : gib(used)}`);
  return `${text}: ${each.join(", ")}`;
}
