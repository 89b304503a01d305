// Bodies of calls: none is read before its key is known to be good, and all of an isolate fit its memory.
import { describe, expect, it } from "vitest";
import { formatApiKey } from "../../../shared/api-key.ts";
import { MAX_BODIES_BYTES } from "../../../shared/limits.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, stopClock, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { agentAnswer, fakeFetch } from "../support/origin.ts";
import { seeded } from "../support/random.ts";
import { untilHolds } from "../support/until.ts";

/** A body that counts how often more of it is read. */
function watchedBody(): { readonly body: ReadableStream<Uint8Array>; readonly reads: () => number } {
  let reads = 0;
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    reads += 1;
    controller.enqueue(new Uint8Array(1024));
  };
  return { body: new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 }), reads: () => reads };
}

describe("nothing of a body is read", () => {
  const unknown = formatApiKey("Nobody77", seeded(7).bytes(32));

  it.each<[string, TestRequest, number]>([
    ["without a key", { key: null }, 401],
    ["with a text that is no key", { key: "sk-1" }, 401],
    ["with a key that doesn't exist, which its object reports", { key: unknown }, 401],
  ])("of a call %s", async (_, request, status) => {
    captureLog();
    const { body, reads } = watchedBody();
    const answer = await edgeOf(fleetOf())(CHAT, { ...request, body });
    expect([answer.status, reads()]).toEqual([status, 0]);
  });

  it("of a call with a key without the scope", async () => {
    captureLog();
    const { body, reads } = watchedBody();
    const edge = edgeOf(fleetOf());
    const { key } = await newKey(edge, { scopes: ["admin"] });
    expect([(await edge(CHAT, { key, body })).status, reads()]).toEqual([403, 0]);
  });

  it("of an operator's request with a key that doesn't exist", async () => {
    captureLog();
    const { body, reads } = watchedBody();
    const answer = await edgeOf(fleetOf())("/admin/keys", { key: unknown, method: "POST", body });
    expect([answer.status, reads()]).toEqual([401, 0]);
  });
});

it("a call with a slow body spends one token", async () => {
  captureLog();
  fakeFetch(() => agentAnswer("north", "{}"));
  const start = Math.ceil(Date.now() / 1_000) * 1_000;
  const clock = stopClock(start);
  const edge = edgeOf(fleetOf());
  const { key } = await newKey(edge, { name: "slow", limits: { perSecond: 1 } });
  const text = new TextEncoder().encode(JSON.stringify(chat()));
  let finish = (): void => undefined;
  let isRead = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        isRead = true;
        return new Promise<void>((resolve) => {
          finish = () => {
            controller.enqueue(text);
            controller.close();
            resolve();
          };
        });
      },
    },
    { highWaterMark: 0 },
  );
  const slow = edge(CHAT, { key, body });
  await untilHolds(() => expect(isRead).toBe(true));
  // By now its lease and its window have ended.
  clock.to(start + 1_500);
  finish();
  expect((await slow).status, "slow").toBe(200);
  expect((await edge(CHAT, { key, body: chat() })).status).toBe(200);
  expect((await edge(CHAT, { key, body: chat() })).status).toBe(429);
});

describe("the largest body", () => {
  const ofKib = (kib: number): string => {
    const text = JSON.stringify(chat());
    return text + " ".repeat(kib * 1024 - text.length);
  };

  it.each<[string, object, number]>([
    ["256 KiB by default", {}, 256],
    ["what the fleet file sets", { maxBodyKib: 300 }, 300],
  ])("has %s", async (_, more, kib) => {
    captureLog();
    fakeFetch(() => agentAnswer("north", "{}"));
    const edge = edgeOf(fleetOf(more));
    expect((await edge(CHAT, { body: ofKib(kib) })).status).toBe(200);
    const answer = await edge(CHAT, { body: `${ofKib(kib)} ` });
    expect(answer.status).toBe(413);
    expect((await errorOf(answer)).message).toContain(String(kib * 1024));
  });

  it.each([0, 8193, 1.5])("can't be set to %s KiB", (maxBodyKib) => {
    expect(() => fleetOf({ maxBodyKib })).toThrow(/maxBodyKib/);
  });
});

it("bodies that fill the isolate's memory leave the next call a 503 with a retry time, until they end", async () => {
  captureLog();
  fakeFetch(() => agentAnswer("north", "{}"));
  const edge = edgeOf(fleetOf({ maxBodyKib: 8192 }));
  // The chunk is one and the same: only its length counts here.
  const chunk = new Uint8Array(1024 * 1024);
  const breaks: (() => void)[] = [];
  let sentBytes = 0;
  const stuck = (): ReadableStream<Uint8Array> => {
    let own = 0;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => void breaks.push(() => controller.error(new Error("gone"))),
        pull(controller) {
          if (own === 8 * chunk.length) return new Promise(() => undefined);
          own += chunk.length;
          sentBytes += chunk.length;
          controller.enqueue(chunk);
          return undefined;
        },
      },
      { highWaterMark: 0 },
    );
  };
  const held = Array.from({ length: 4 }, async () => edge(CHAT, { body: stuck() }));
  await untilHolds(() => expect(sentBytes).toBe(MAX_BODIES_BYTES));
  const refused = await edge(CHAT, { body: chat() });
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThanOrEqual(1_000);
  expect(await errorOf(refused)).toMatchObject({ code: "overloaded", type: "overloaded_error" });
  for (const end of breaks) end();
  for (const answer of await Promise.all(held)) expect(answer.status).toBe(400);
  expect((await edge(CHAT, { body: chat() })).status).toBe(200);
});
