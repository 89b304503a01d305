// The time, a second at a time, for all that says "since". Between two of the edge's words its clock is ours, moved by
// what the two differ in: a browser that is minutes off must not make a fresh figure look old.
import { computed, signal } from "@preact/signals";
import { fleet } from "./session.ts";

const TICK_MS = 1000;

/** By the browser's clock. */
export const now = signal(Date.now());

/** By the edge's. */
export const edgeNow = computed(() => {
  const heard = fleet.value;
  return heard === null ? now.value : heard.view.at + Math.max(0, now.value - heard.lastSeenAt);
});

export function startClock(): void {
  setInterval(() => (now.value = Date.now()), TICK_MS);
}
