// Waits for the isolate's flush of failures: there is one at a time, in the context of the request that started it.
import { expect } from "vitest";
import { noteFailure, type RequestContext } from "../../../worker/failures/buffer.ts";
import { untilHolds } from "./until.ts";

/** Waits until no flush of an earlier test is running: it would send this test's failures to that test's objects. */
export async function flushesEnd(): Promise<void> {
  const work: Promise<unknown>[] = [];
  const context = {
    env: { FLEET: { getByName: () => ({ noteFailures: async () => undefined }) } },
    executionCtx: { waitUntil: (promise: Promise<unknown>) => void work.push(promise) },
  } as unknown as RequestContext;
  await untilHolds(() => {
    noteFailure(context, {
      requestId: "req_none",
      at: Date.now(),
      code: "internal",
      route: "/",
      key: null,
      cause: null,
    });
    expect(work).toHaveLength(1);
  });
  await Promise.all(work);
}
