// How fresh what is on the screen is, in words. Nothing here may look live that isn't.
import { durationWords } from "./duration.ts";
import type { Level } from "./server-state.ts";

export interface Link {
  /** `waiting`: between two tries. */
  readonly phase: "asking" | "open" | "waiting";
  /** When the edge last said anything at all on the stream, by the browser's clock; null for never. */
  readonly wordAt: number | null;
  /** When the next try begins. */
  readonly retryAt: number | null;
  /** Why the last try ended, in words. */
  readonly problem: string;
}

export const NO_LINK: Link = { phase: "asking", wordAt: null, retryAt: null, problem: "" };

/** The edge writes something every five seconds, changes or not; with one word lost the figures are old, milliseconds. */
export const STALE_AFTER_MS = 8_000;

/** A stream this silent is given up and asked for anew, milliseconds. */
export const GIVE_UP_AFTER_MS = 15_000;

export interface Freshness {
  readonly level: Level;
  readonly stale: boolean;
  /** Short, for the header: "live". */
  readonly word: string;
  /** The whole of it, for the banner. */
  readonly text: string;
}

export function freshness(link: Link, now: number): Freshness {
  const age = link.wordAt === null ? null : now - link.wordAt;
  if (age !== null && age < STALE_AFTER_MS) {
    return { level: "good", stale: false, word: "live", text: "What you see is live." };
  }
  if (age === null && link.phase === "asking" && link.problem === "") {
    return { level: "quiet", stale: false, word: "connecting", text: "Waiting for the edge's first word." };
  }
  const silent =
    age === null ? "No word from the edge yet" : `No word from the edge since ${durationWords(age)}`;
  const why = link.problem === "" ? "" : ` (${link.problem})`;
  return {
    level: "bad",
    stale: true,
    word: age === null ? "no word" : `silent ${durationWords(age)}`,
    text: `${silent}${why}. ${next(link, now)}`,
  };
}

function next(link: Link, now: number): string {
  if (link.phase === "waiting" && link.retryAt !== null && link.retryAt - now >= 1000) {
    return `The next try is in ${durationWords(link.retryAt - now)}.`;
  }
  return link.phase === "open" ? "The stream is open still." : "Trying again now.";
}
