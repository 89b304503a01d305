// Placing calls: real simulators, the agent's own queue.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DIALECTS } from "../../../shared/dialects.ts";
import { QUEUE_PER_SLOT } from "../../../shared/limits.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { answered, ask, dataOf, errorOf, jsonOf, serveShortCalls } from "../support/ask.ts";
import {
  callsOf,
  endsOf,
  REPLICA,
  queuedCalls,
  reset,
  startAgent,
  startSimulator,
  testBox,
  WANTED,
} from "../support/box.ts";
import type { TestAgent } from "../support/box.ts";
import { until } from "../../support/until.ts";

let wanted: SimulatedServer;
let replica: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  [wanted, replica] = await Promise.all([startSimulator(WANTED), startSimulator(REPLICA)]);
  agent = await startAgent({ [WANTED]: wanted.port, [REPLICA]: replica.port });
});
beforeEach(async () => {
  await Promise.all([wanted, replica].map(reset));
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await Promise.all([wanted, replica].map((simulator) => simulator.stop()));
});

const SLOTS = testBox().servers[0]?.slots ?? 0;
const PLACES = SLOTS * (1 + QUEUE_PER_SLOT);
const queued = (): number => queuedCalls(agent);
const ONE = { ports: [WANTED], fallbackPorts: [] };

describe("a call beyond the slots", () => {
  it("waits in the agent, never in llama-server, and goes by the first slot that is free", async () => {
    await wanted.set({ stall: true });
    const calls = Array.from({ length: SLOTS + 3 }, () =>
      ask(agent.port, { call: { ...ONE, stream: true } }),
    );
    await until(() => queued() === 3);
    expect(await wanted.until((state) => state.generating === SLOTS)).toMatchObject({ deferred: 0 });
    await wanted.set({ stall: false });
    for (const { answer } of calls) expect(dataOf(await answer).at(-1)).toBe("[DONE]");
    expect(await callsOf(wanted)).toHaveLength(SLOTS + 3);
  });

  it("goes to a replica that has a slot free", async () => {
    await wanted.set({ stall: true });
    const calls = Array.from({ length: SLOTS }, () => ask(agent.port, { call: { ...ONE, stream: true } }));
    await wanted.until((state) => state.generating === SLOTS);
    expect((await answered(agent.port)).headers["x-isha-port"]).toBe(String(REPLICA));
    for (const one of calls) one.leave();
  });

  it("leaves its place when its client goes", async () => {
    await wanted.set({ stall: true });
    const calls = Array.from({ length: SLOTS + 2 }, () =>
      ask(agent.port, { call: { ...ONE, stream: true } }),
    );
    await until(() => queued() === 2);
    await wanted.until((state) => state.generating === SLOTS);
    for (const one of calls) one.leave();
    await until(() => queued() === 0);
    await agent.settled(WANTED);
    expect(await callsOf(wanted)).toHaveLength(SLOTS);
  });

  it("is refused if all places are taken: 503 with Retry-After, and no server sees it", async () => {
    await serveShortCalls(agent.port, ONE);
    await wanted.forget();
    await wanted.set({ stall: true });
    const waiting = Array.from({ length: PLACES }, (_, at) =>
      ask(agent.port, { call: { ...ONE, keyId: `key-${at % 8}` } }),
    );
    await until(() => queued() === PLACES - SLOTS);
    await wanted.until((state) => state.generating === SLOTS);
    const refused = await answered(agent.port, { call: { ...ONE, keyId: "key-9" } });
    expect(refused.status).toBe(503);
    expect(errorOf(refused).code).toBe("overloaded");
    expect(refused.headers["x-isha-started"]).toBe("0");
    const seconds = Number(refused.headers["retry-after"]);
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(120);
    expect(await callsOf(wanted)).toHaveLength(SLOTS);
    for (const one of waiting) one.leave();
    await until(() => queued() === 0);
    await wanted.set({ stall: false });
    await agent.settled(WANTED);
    expect(jsonOf(await answered(agent.port))).toHaveProperty("choices");
  });

  it("of a key that holds half of the queue is refused, another key's is not", async () => {
    await serveShortCalls(agent.port, ONE);
    await wanted.set({ stall: true });
    const half = (PLACES - SLOTS) / 2;
    const waiting = Array.from({ length: SLOTS + half }, () => ask(agent.port, { call: ONE }));
    await until(() => queued() === half);
    expect(errorOf(await answered(agent.port, { call: ONE })).code).toBe("overloaded");
    waiting.push(ask(agent.port, { call: { ...ONE, keyId: "key-2" } }));
    await until(() => queued() === half + 1);
    for (const one of waiting) one.leave();
    await until(() => queued() === 0);
  });
});

describe("200 calls at once", () => {
  it("never share a slot, and all are answered", async () => {
    for (const port of [WANTED, REPLICA]) await serveShortCalls(agent.port, { ...ONE, ports: [port] });
    await Promise.all([wanted, replica].map((one) => one.forget()));
    await Promise.all([wanted, replica].map((one) => one.set({ tokensPerSecond: 20_000 })));
    let most = 0;
    const looking = setInterval(() => {
      for (const { slots } of agent.live.servers.values())
        most = Math.max(most, slots.leased + slots.awaiting + slots.foreign - slots.total);
    }, 1);
    // As many at a time as the queue of two servers holds of one key's.
    for (let round = 0; round < 8; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 25 }, (_, at) =>
          answered(agent.port, { call: { keyId: `key-${at % 5}`, stream: at % 2 === 0 } }),
        ),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    }
    clearInterval(looking);
    expect(most).toBeLessThanOrEqual(0);
    for (const one of [wanted, replica]) {
      expect((await endsOf(one)).every(({ outcome }) => outcome === "complete")).toBe(true);
      // A slot pinned while it was busy would have been waited for inside.
      expect((await one.state()).deferred).toBe(0);
    }
    await agent.settled();
  });
});

describe("a slot's cache", () => {
  const asScope = async (keyId: string, scope: string | null, cached = true): Promise<void> => {
    const answer = await answered(agent.port, {
      call: { ...ONE, keyId, scope },
      body: { messages: [{ role: "user", content: "A long beginning ".repeat(40) }], cache_prompt: cached },
    });
    expect(answer.status).toBe(200);
  };

  it("is reused only by the scope that filled it, whatever the client sends", async () => {
    for (const scope of ["patient-a", "patient-b", "patient-c", "patient-d", null, null])
      await asScope("key-1", scope);
    expect((await endsOf(wanted)).map(({ cachedTokens }) => cachedTokens)).toEqual(Array(6).fill(0));
    await wanted.forget();
    await asScope("key-1", "patient-e");
    await asScope("key-1", "patient-e");
    const [first, second] = await endsOf(wanted);
    expect(first?.cachedTokens).toBe(0);
    expect(second?.cachedTokens).toBeGreaterThan(0);
    expect(second?.slot).toBe(first?.slot);
  });
});

describe("a conversation's next turn", () => {
  it("goes to the free server that holds its cache, not to the first one", async () => {
    const say = async (scope: string, ports: number[]): Promise<unknown> => {
      const body = { messages: [{ role: "user", content: "A long beginning ".repeat(40) }] };
      const answer = await answered(agent.port, { call: { scope, ports, fallbackPorts: [] }, body });
      return answer.headers["x-isha-port"];
    };
    expect(await say("patient-f", [REPLICA])).toBe(String(REPLICA));
    expect(await say("patient-f", [WANTED, REPLICA])).toBe(String(REPLICA));
    expect((await endsOf(replica)).at(-1)?.cachedTokens).toBeGreaterThan(0);
    // Another conversation goes to the first port.
    expect(await say("patient-g", [WANTED, REPLICA])).toBe(String(WANTED));
  });
});

describe("a key with a larger share of the queue", () => {
  it("may take every place, as the fleet file says", async () => {
    const shared = await startAgent({ [WANTED]: wanted.port }, { queueSharePerKey: 1 });
    await serveShortCalls(shared.port, ONE);
    await wanted.set({ stall: true });
    const calls = Array.from({ length: PLACES }, () => ask(shared.port, { call: ONE }));
    await until(() => queuedCalls(shared) === PLACES - SLOTS);
    for (const one of calls) one.leave();
    await until(() => queuedCalls(shared) === 0);
    await shared.close();
  });
});

describe("a call that is left", () => {
  it("is booked with what it had, not with what the call before it in its slot had", async () => {
    await wanted.set({ stallAfterTokens: 100 });
    const before = Array.from({ length: SLOTS }, () =>
      answered(agent.port, { call: { ...ONE, set: { n_predict: 120 } }, body: { ignore_eos: true } }),
    );
    await until(() => agent.live.dispatch.decoding(WANTED) === SLOTS * 100);
    await wanted.set({ stallAfterTokens: null });
    await Promise.all(before);
    await wanted.set({ stallAfterTokens: 5 });
    const asked = ask(agent.port, { call: { ...ONE, requestId: "req-left", stream: true } });
    await asked.arrived(/"content":"[^"]/);
    asked.leave();
    const booked = (): number | null | undefined =>
      agent.booked.find(({ start }) => start.callId === "req-left")?.end?.completionTokens;
    await until(() => booked() !== undefined);
    // Calls of before had 120, and were seen to have 100.
    expect(booked()).toBeLessThanOrEqual(5);
  });
});

describe("a server that loads", () => {
  it("has the call that waits for it by the next looks after it is ready", async () => {
    await wanted.set({ loading: true });
    const asked = ask(agent.port, { call: { ...ONE, format: "mediczy" } });
    const isLoading = (): boolean => agent.live.servers.get(WANTED)?.view().state === "loading";
    await until(() => agent.bodies.bytes > 0 && isLoading());
    const { requestsByRoute } = await wanted.set({ loading: false });
    expect((await asked.answer).status).toBe(200);
    const paths = (await wanted.state()).received.map(({ path }) => path);
    const looks = paths.slice(0, paths.indexOf(DIALECTS.chat.path)).filter((path) => path === "/health");
    // Ten looks a second at this pace (probe-schedule.test.ts).
    expect(looks.length - (requestsByRoute["/health"] ?? 0)).toBeLessThanOrEqual(4);
  });
});
