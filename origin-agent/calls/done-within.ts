// Waits for work that may take longer than the call allows.

import type { EndSignal } from "../servers/end-signal.ts";

/** @returns whether the work was done before `ms` had passed and, if given, the signal was aborted. */
export async function doneWithin(work: Promise<unknown>, ms: number, signal?: EndSignal): Promise<boolean> {
  if (signal?.aborted === true) return false;
  const { promise: given, resolve } = Promise.withResolvers<boolean>();
  const giveUp = (): void => resolve(false);
  const timer = setTimeout(giveUp, ms);
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work.then(() => true), given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
