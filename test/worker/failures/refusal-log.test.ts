// Refusals on their way from an isolate to the log and the fleet object: bounded, batched, and never delaying an answer.
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { formatApiKey } from "../../../shared/api-key.ts";
import { RefusalLog, type Refused, type RequestContext } from "../../../worker/failures/refusal-log.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { captureLog, CHAT, chat, edgeOf, stopClock, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { seeded } from "../support/random.ts";
import { untilHolds } from "../support/until.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");

const refused = (requestId: string, more: Partial<Refused> = {}): Refused => ({
  requestId,
  code: "overloaded",
  route: CHAT,
  key: "key-a",
  cause: null,
  ...more,
});

interface Recorded extends RequestContext {
  /** What was passed to its waitUntil. */
  readonly work: Promise<unknown>[];
}

function request(bindings: unknown = env): Recorded {
  const work: Promise<unknown>[] = [];
  const executionCtx = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  return { env: bindings as Recorded["env"], work, executionCtx };
}

/** A fleet object that records the calls. */
function recordingFleet() {
  const calls: { failures: unknown[]; floods: unknown[] }[] = [];
  const noteFailures = async (failures: unknown[], floods: unknown[]) =>
    void calls.push({ failures, floods });
  return { calls, bindings: { FLEET: { getByName: () => ({ noteFailures }) } } };
}

const linesOf = (log: readonly string[]): Record<string, unknown>[] =>
  log.map((line) => JSON.parse(line) as Record<string, unknown>);

let log: string[] = [];
beforeEach(() => void (log = captureLog()));

describe("a failed call", () => {
  it("reaches the store within seconds, in one call with the others of its second", async () => {
    const refusals = new RefusalLog(Date.now);
    const context = request();
    const ids = Array.from({ length: 5 }, () => `req_${crypto.randomUUID()}`);
    for (const id of ids) refusals.note(context, refused(id));
    expect(context.work).toHaveLength(1);
    await untilHolds(async () => {
      for (const id of ids) expect(await fleetObject(env).failure(id)).not.toBeNull();
    });
  });

  it.each<[string, Recorded]>([
    ["the object doesn't answer", request({ FLEET: { getByName: () => ({ noteFailures: gone }) } })],
    ["the request has no execution context", withoutContext()],
  ])("throws nothing if %s, and the next ones still reach the store", async (_, broken) => {
    let now = NOON;
    const refusals = new RefusalLog(() => now);
    refusals.note(broken, refused("req_lost"));
    await Promise.all(broken.work);
    now += 1;
    const { calls, bindings } = recordingFleet();
    const next = request(bindings);
    refusals.note(next, refused("req_next"));
    await Promise.all(next.work);
    expect(calls.at(-1)?.failures.at(-1)).toMatchObject({ requestId: "req_next" });
  });

  it("that comes too fast has no line and is only counted, by the object too", async () => {
    let now = NOON;
    const refusals = new RefusalLog(() => now);
    const { calls, bindings } = recordingFleet();
    const context = request(bindings);
    for (let at = 0; at < 5_000; at += 1) refusals.note(context, refused(`req_${at}`));
    await Promise.all(context.work);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.failures).toHaveLength(10);
    expect(calls[0]?.floods).toMatchObject([{ code: "overloaded", key: "key-a", count: 4_990 }]);
    expect(log).toHaveLength(10);
    now += 60_000;
    refusals.note(context, refused("req_1", { code: "not_found", key: null }));
    expect(linesOf(log).at(-1)).toEqual({
      event: "refused_counts",
      since: "2026-11-23T12:00:00.000Z",
      counts: { overloaded: 4_990 },
    });
  });
});

async function gone(): Promise<never> {
  throw new Error("gone");
}

function withoutContext(): Recorded {
  return {
    ...request(),
    get executionCtx(): never {
      throw new Error("no context");
    },
  };
}

describe("a refusal without a known key", () => {
  it.each<[string, Partial<Refused>, number]>([
    ["without a key", { key: null, code: "missing_key" }, 0],
    ["of an anonymous caller", { key: "anonymous", code: "invalid_request" }, 0],
    ["with status 500 or more", { key: null, code: "limiter_unavailable" }, 1],
    ["with a code of another release", { key: null, code: "a_future_code" }, 1],
    ["of a known key", { code: "invalid_request" }, 1],
  ])("or %s: whether it is kept", (_, more, flushes) => {
    const context = request(recordingFleet().bindings);
    new RefusalLog(() => NOON).note(context, refused("req_1", more));
    expect([context.work.length, log.length]).toEqual([flushes, flushes]);
  });

  it("costs one line a minute, however many there are, and no call of the object", () => {
    let now = NOON;
    const refusals = new RefusalLog(() => now);
    const context = request(recordingFleet().bindings);
    for (let at = 0; at < 30_000; at += 1) {
      now = NOON + at * 10;
      const code = at % 3 === 0 ? "not_found" : "invalid_key";
      refusals.note(context, refused(`req_${at}`, { key: null, code, route: `/${at}` }));
    }
    expect(context.work).toEqual([]);
    const lines = linesOf(log);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toEqual({
      event: "refused_counts",
      since: "2026-11-23T12:00:00.000Z",
      counts: { not_found: 2_000, invalid_key: 4_000 },
    });
  });
});

describe("a flood of anonymous requests", () => {
  const unknown = (at: number): string => formatApiKey(`Madeup${at % 10}${at % 7}`, seeded(at + 1).bytes(32));

  it.each<[string, (at: number) => [string, TestRequest]]>([
    ["without a key", () => ["/v1/models", { key: null }]],
    ["with texts that are no key", (at) => ["/v1/models", { key: `guess-${at}` }]],
    [
      "with keys that don't exist, beyond the address's limit",
      (at) => [CHAT, { key: unknown(at), body: chat() }],
    ],
    ["for unknown routes", (at) => [`/wp-admin/${at}`, { key: null }]],
    ["over plain http", () => [CHAT, { host: "edge.example", scheme: "http", body: chat() }]],
    ["of agents without a token", () => ["/_agent/link", { key: null, headers: { upgrade: "websocket" } }]],
  ])("%s calls no fleet object and logs one line a minute", async (_, requestOf) => {
    const fleet = env.FLEET;
    let calls = 0;
    const FLEET = new Proxy(fleet, {
      get: (target, name) => {
        calls += 1;
        return Reflect.get(target, name) as unknown;
      },
    });
    const start = Date.now();
    const clock = stopClock(start);
    const edge = edgeOf(fleetOf({ limits: { perAddressPerSecond: 20, perKeyPerSecond: 1000 } }), {
      bindings: { FLEET },
    });
    for (let minute = 0; minute < 3; minute += 1) {
      clock.to(start + minute * 60_000);
      for (let at = 0; at < 60; at += 1) {
        const answer = await edge(...requestOf(at));
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.status).toBeLessThan(500);
      }
    }
    await edge.settled();
    expect(calls).toBe(0);
    expect(log.length).toBeLessThanOrEqual(2);
    for (const line of linesOf(log)) expect(line["event"]).toBe("refused_counts");
  });

  it("with a good key among them: its refusals have their lines", async () => {
    const edge = edgeOf(fleetOf());
    const { id, key } = await newKey(edge);
    for (let at = 0; at < 30; at += 1) await edge("/v1/models", { key: null });
    await edge(CHAT, { key, body: "no JSON" });
    expect(linesOf(log)).toMatchObject([{ event: "refused", code: "invalid_json", key: id }]);
    await edge.settled();
  });
});
