// The current time, updated every second, for durations on the page. The edge's time is estimated from its last
// update: a browser whose clock is wrong must not make a new figure look old.
import { computed, signal } from "@preact/signals";
import { fleet } from "./session.ts";

const TICK_MS = 1000;

/** By the browser's clock. */
export const now = signal(Date.now());

/** By the edge's clock. */
export const edgeNow = computed(() => {
  const snapshot = fleet.value;
  return snapshot === null ? now.value : snapshot.view.at + Math.max(0, now.value - snapshot.receivedAt);
});

export function startClock(): void {
  setInterval(() => (now.value = Date.now()), TICK_MS);
}
