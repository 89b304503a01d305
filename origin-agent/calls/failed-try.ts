// Ends a failed try's use of its slot, and finds out whether its server died. It doesn't decide what follows.
import type { Grant } from "../servers/running-call.ts";
import type { SlotUsage } from "../slots/slot-lease.ts";
import type { TryFailure } from "./attempt.ts";
import type { Failure } from "./next-try.ts";

const beganNothing = (failure: TryFailure): failure is "refused" | "loading" | "unconnected" =>
  failure === "refused" || failure === "loading" || failure === "unconnected";

/** @returns once the try has provably ended on the GPU, what it used there; null if it began nothing. */
export function endFailedTry(grant: Grant, failure: TryFailure): Promise<SlotUsage | null> | null {
  if (beganNothing(failure)) {
    grant.refused(failure === "unconnected" ? null : failure);
    return null;
  }
  // Of an oversized answer the server is not at fault: it did as the request asked.
  if (failure === "oversized") return grant.abandon(null);
  return grant.abandon(failure === "stalled" ? "stalled" : "broken");
}

/** @param isResent the request was sent again, after a reused connection was closed. */
export async function judge(grant: Grant, failure: TryFailure, isResent: boolean): Promise<Failure> {
  if (failure === "stale" || failure === "broke") return (await grant.isUp()) ? "cut" : "died";
  // The process that had the first connection is gone.
  return isResent && beganNothing(failure) ? "died" : failure;
}
