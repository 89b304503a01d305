// The age of what is on the screen, as text: old figures must never look live.
import { durationText } from "../../shared/duration.ts";
import type { Level } from "./server-state.ts";

export interface Link {
  /** `waiting`: between two attempts. */
  readonly phase: "connecting" | "open" | "waiting";
  /** When the stream last received anything, by the browser's clock; null for never. */
  readonly lastUpdateAt: number | null;
  /** When the next attempt starts. */
  readonly retryAt: number | null;
  /** Why the last attempt ended, for the middle of a sentence. */
  readonly problem: string;
}

export const NO_LINK: Link = { phase: "connecting", lastUpdateAt: null, retryAt: null, problem: "" };

/** The edge writes something every five seconds; the figures are old when one of these updates is missing. */
export const STALE_AFTER_MS = 8_000;

/** A stream without an update for this long is closed and opened again. */
export const GIVE_UP_AFTER_MS = 15_000;

export interface Freshness {
  readonly level: Level;
  readonly stale: boolean;
  /** For the header: "live". */
  readonly label: string;
  /** For the banner. */
  readonly text: string;
}

export function freshness(link: Link, now: number): Freshness {
  const age = link.lastUpdateAt === null ? null : now - link.lastUpdateAt;
  if (age !== null && age < STALE_AFTER_MS) {
    return { level: "good", stale: false, label: "live", text: "What you see is live." };
  }
  if (age === null && link.phase === "connecting" && link.problem === "") {
    return {
      level: "quiet",
      stale: false,
      label: "connecting",
      text: "Waiting for the first update from the edge.",
    };
  }
  const problem = link.problem === "" ? "" : ` (${link.problem})`;
  return {
    level: "bad",
    stale: true,
    label: age === null ? "no update" : `no update for ${durationText(age)}`,
    text: `No update from the edge ${age === null ? "yet" : `for ${durationText(age)}`}${problem}. ${nextStep(link, now)}`,
  };
}

function nextStep(link: Link, now: number): string {
  if (link.phase === "waiting" && link.retryAt !== null && link.retryAt - now >= 1000) {
    return `Next attempt in ${durationText(link.retryAt - now)}.`;
  }
  return link.phase === "open" ? "The stream is still open." : "Trying again now.";
}
