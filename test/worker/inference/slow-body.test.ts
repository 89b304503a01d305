import { expect, it, onTestFinished, vi } from "vitest";
import { BODY_TIMEOUT_MS } from "../../../shared/limits.ts";
import { captureLog, CHAT, edgeOf, errorOf } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

/** A byte, then silence. */
function stuckBody(): ReadableStream<Uint8Array> {
  let hasStarted = false;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (hasStarted) return new Promise<void>(() => undefined);
      hasStarted = true;
      controller.enqueue(new TextEncoder().encode("{"));
      return undefined;
    },
  });
}

it("a call whose body never ends is a 408 after a minute, logged with its key, and no box is called", async () => {
  const log = captureLog();
  const sent = fakeFetch(() => new Response());
  const edge = edgeOf(fleetOf());
  const { id, key } = await newKey(edge);
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: Date.now() });
  onTestFinished(() => void vi.useRealTimers());
  let isAnswered = false;
  const answering = edge(CHAT, { key, body: stuckBody() });
  void answering.then(() => (isAnswered = true));
  // The limiter and the fleet object have answered: the request waits only for the body.
  await untilHolds(() => expect(vi.getTimerCount()).toBe(1));
  await vi.advanceTimersByTimeAsync(BODY_TIMEOUT_MS - 1_000);
  expect(isAnswered).toBe(false);
  // By now the lease has expired: the request is admitted again, without a second minute for its body.
  await vi.advanceTimersByTimeAsync(2_000);
  const answer = await answering;
  expect(answer.status).toBe(408);
  expect(answer.headers.get("x-should-retry")).toBeNull();
  expect((await errorOf(answer)).code).toBe("request_timeout");
  expect(sent).toEqual([]);
  expect(log.map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ code: "request_timeout", key: id }),
  ]);
});
