// Ends a failed try's use of its slot, and finds out whether its server died. It doesn't decide what follows.
import type { Grant } from "../servers/running-call.ts";
import type { TryFailure } from "./attempt.ts";
import type { Failure } from "./next-try.ts";

const NOTHING_TO_PROVE = Promise.resolve();

/** Ends the use of the slot, and reports to the server's health. @returns once the try has provably ended on the GPU. */
export function endFailedTry(grant: Grant, failure: TryFailure): Promise<void> {
  switch (failure) {
    case "refused":
    case "loading":
    case "unconnected":
      grant.refused(failure === "unconnected" ? null : failure);
      return NOTHING_TO_PROVE;
    case "oversized":
      // The server did as it was asked.
      return grant.abandon(null);
    case "stalled":
      return grant.abandon("stalled");
    case "stale":
    case "broke":
    case "malformed":
      return grant.abandon("broken");
  }
}

/** Finds out whether the server died. @param isResent after a reused connection was closed. */
export async function judge(grant: Grant, failure: TryFailure, isResent: boolean): Promise<Failure> {
  switch (failure) {
    case "refused":
    case "loading":
    case "unconnected":
      // The process that had the first connection is gone.
      return isResent ? "died" : failure;
    case "stale":
    case "broke":
      return (await grant.isUp()) ? "cut" : "died";
    case "stalled":
    case "malformed":
    case "oversized":
      return failure;
  }
}
