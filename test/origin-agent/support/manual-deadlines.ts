// Provides deadlines that pass when the test decides, so that no test waits and no machine is too slow.
import { vi } from "vitest";

/** The deadline of a call that the test ends. No other timer has this length. */
export const MANUAL_DEADLINE_MS = 234_567;

/** Collects the timers of one length. @returns a function that fires all timers started so far. */
export function interceptDeadlines(deadlineMs = MANUAL_DEADLINE_MS): () => void {
  const started: (() => void)[] = [];
  const start = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation((pass, ms, ...values) => {
    if (ms === deadlineMs) started.push(pass);
    return start(pass, ms, ...values);
  });
  return () => {
    for (const pass of started.splice(0)) pass();
  };
}
