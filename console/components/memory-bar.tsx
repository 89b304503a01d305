// GPU memory, a segment a server, with a mark where the plan ends.
import { gib } from "../model/figure.ts";
import type { MemoryBar as Model } from "../model/memory-bar.ts";

/** How many colours the style has for servers; past them they come again. */
export const SERVER_COLOURS = 8;

export function MemoryBar({ bar }: { readonly bar: Model }) {
  return (
    <figure class="memory">
      <figcaption>
        <span class="memory-title">GPU memory</span>
        <span class="memory-text">{bar.text}</span>
      </figcaption>
      <div class="memory-bar" role="img" aria-label={spoken(bar)}>
        <div class="memory-segments">
          {bar.segments.map(({ key, label, gib: held, share, colour, overBudget }) => (
            <div
              key={key}
              class={overBudget ? "memory-segment over" : "memory-segment"}
              data-colour={colour === null ? "rest" : colour % SERVER_COLOURS}
              style={{ width: `${(share * 100).toFixed(2)}%` }}
              title={`${label}: ${gib(held)}`}
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

function spoken({ text, segments }: Model): string {
  const each = segments.map(({ label, gib: held }) => `${label} ${held === null ? "unknown" : gib(held)}`);
  return `${text}: ${each.join(", ")}`;
}
