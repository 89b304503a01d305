// Deadlines that pass when the test lets them: no machine is too slow for what must happen before, and no test waits.
import { vi } from "vitest";

/** The deadline of a call whose end the test decides. No other timer has this length. */
export const HELD_DEADLINE_MS = 234_567;

/** Holds the deadlines of calls with `HELD_DEADLINE_MS`. @returns lets all of them pass that have begun. */
export function holdDeadlines(): () => void {
  const begun: (() => void)[] = [];
  const start = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation((pass, ms, ...values) => {
    if (ms === HELD_DEADLINE_MS) begun.push(pass);
    return start(pass, ms, ...values);
  });
  return () => {
    for (const pass of begun.splice(0)) pass();
  };
}
