// Formats durations for people: consoles, terminals, events and alarms. Pure.
import { DAY_MS, HOUR_MS } from "./calendar.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** Below this count the next smaller unit is shown too: "3 min 20 s" is useful, "47 min 20 s" isn't. */
const TWO_UNITS_BELOW = 10;

/** Below this a measured duration is shown with a decimal. */
const TENTHS_BELOW_MS = 10 * SECOND_MS;

/** A longer duration is an error of a clock or a figure: its number would say nothing and fill the line. */
const MAX_DAYS = 9_999;

/** "12 s", "3 min 20 s", "2 h 5 min", "4 d"; "0 s" below a second. */
export function durationText(ms: number): string {
  const positive = Math.max(0, ms);
  if (positive > MAX_DAYS * DAY_MS) return "over 9,999 d";
  if (positive < MINUTE_MS) return `${Math.floor(positive / SECOND_MS)} s`;
  if (positive < HOUR_MS) return inUnits(positive, [MINUTE_MS, "min"], [SECOND_MS, "s"]);
  if (positive < DAY_MS) return inUnits(positive, [HOUR_MS, "h"], [MINUTE_MS, "min"]);
  return inUnits(positive, [DAY_MS, "d"], [HOUR_MS, "h"]);
}

/** The same for a duration that was measured: "6.1 s". */
export function measuredText(ms: number): string {
  return ms < TENTHS_BELOW_MS ? `${(Math.max(0, ms) / SECOND_MS).toFixed(1)} s` : durationText(ms);
}

type Unit = readonly [ms: number, name: string];

function inUnits(ms: number, [large, largeName]: Unit, [small, smallName]: Unit): string {
  const count = Math.floor(ms / large);
  const rest = Math.floor((ms - count * large) / small);
  return count < TWO_UNITS_BELOW && rest > 0
    ? `${count} ${largeName} ${rest} ${smallName}`
    : `${count} ${largeName}`;
}
