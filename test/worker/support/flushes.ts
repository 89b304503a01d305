// The isolate's flush of failures: one at a time, in the context and with the objects of the request that began it.
import { expect } from "vitest";
import { noteFailure, type Asked } from "../../../worker/failures/failure-log.ts";
import { untilHolds } from "./until.ts";

/** Waits until no flush of an earlier test is on its way: it would take this test's failures to that test's objects. */
export async function flushesEnd(): Promise<void> {
  const work: Promise<unknown>[] = [];
  const asked = {
    env: { FLEET: { getByName: () => ({ noteFailures: async () => undefined }) } },
    executionCtx: { waitUntil: (promise: Promise<unknown>) => void work.push(promise) },
  } as unknown as Asked;
  await untilHolds(() => {
    noteFailure(asked, {
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
