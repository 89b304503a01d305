// Formats times for operators.
import { durationText } from "../../shared/duration.ts";

/** "for 12 s"; empty if the start is unknown. */
export function forText(since: number | null, now: number): string {
  return since === null ? "" : `for ${durationText(now - since)}`;
}

/** The time of day in the operator's time zone. */
export function timeText(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "at an unknown time" : date.toLocaleTimeString("en-GB");
}

/** For a `time` element; empty for a time that no calendar has. */
export function isoTime(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** A date with the time, short. */
export function dateTimeText(at: number): string {
  return new Date(at).toLocaleString("en-GB", {
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** A date, short. */
export function dateText(at: number): string {
  return new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}
