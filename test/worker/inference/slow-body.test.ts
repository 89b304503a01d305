// A client that sends its body too slowly, as the whole edge meets it: the request that waits is bounded too.
import { expect, it, onTestFinished, vi } from "vitest";
import { BODY_TIMEOUT_MS } from "../../../shared/limits.ts";
import { captureLog, CHAT, edgeOf, errorOf } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { standIn } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

/** A byte, then silence. */
function stuckBody(): ReadableStream<Uint8Array> {
  let isBegun = false;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (isBegun) return new Promise<void>(() => undefined);
      isBegun = true;
      controller.enqueue(new TextEncoder().encode("{"));
      return undefined;
    },
  });
}

it("a call whose body never ends is a 408 after a minute, under its key's id, and no box is asked", async () => {
  const log = captureLog();
  const sent = standIn(() => new Response());
  const edge = edgeOf(fleetOf());
  const { id, key } = await newKey(edge);
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: Date.now() });
  onTestFinished(() => void vi.useRealTimers());
  let isAnswered = false;
  const asked = edge(CHAT, { key, body: stuckBody() });
  void asked.then(() => (isAnswered = true));
  // The limiter and the fleet object have answered: the only wait that is left is for the body.
  await untilHolds(() => expect(vi.getTimerCount()).toBe(1));
  await vi.advanceTimersByTimeAsync(BODY_TIMEOUT_MS - 1_000);
  expect(isAnswered).toBe(false);
  // By now the key's lease is dead: the request is let in anew, without a second minute for its body.
  await vi.advanceTimersByTimeAsync(2_000);
  const answer = await asked;
  expect(answer.status).toBe(408);
  expect(answer.headers.get("x-should-retry")).toBeNull();
  expect((await errorOf(answer)).code).toBe("request_timeout");
  expect(sent).toEqual([]);
  expect(log.map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ code: "request_timeout", key: id }),
  ]);
});
