// Checks which server answers a call (the requested one, its replica, a fallback or none) and what the client sees.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { QUEUE_PER_SLOT } from "../../../shared/limits.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import {
  answered,
  ask,
  dataOf,
  errorOf,
  eventsOf,
  jsonOf,
  serveShortCalls,
  type Answer,
  type Question,
} from "../support/ask.ts";
import {
  OTHER,
  REPLICA,
  queuedCalls,
  reset,
  startAgent,
  startSimulator,
  WANTED,
  type TestAgent,
} from "../support/box.ts";
import { until } from "../../support/until.ts";
import { noJitter } from "../../support/no-jitter.ts";

let wanted: SimulatedServer;
let replica: SimulatedServer;
let other: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  const starting = [startSimulator(WANTED), startSimulator(REPLICA), startSimulator(OTHER)] as const;
  [wanted, replica, other] = await Promise.all(starting);
  agent = await startAgent({ [WANTED]: wanted.port, [REPLICA]: replica.port, [OTHER]: other.port });
});
beforeEach(async () => {
  await Promise.all([wanted, replica, other].map(reset));
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await Promise.all([wanted, replica, other].map((simulator) => simulator.stop()));
});

const inMediczy = (question: Question = {}): Promise<Answer> =>
  answered(agent.port, { ...question, call: { ...question.call, format: "mediczy" } });

const callsAt = async (simulator: SimulatedServer): Promise<number> =>
  (await simulator.state()).requestsByRoute["/v1/chat/completions"] ?? 0;

/** The server that answered, according to the headers and the answer. */
function saidToBe(answer: Answer): { port: unknown; from: unknown; model: unknown } {
  const { isha, model } = jsonOf(answer) as {
    isha: { port: number; fallback_from: number | null };
    model: string;
  };
  expect(answer.headers["x-isha-port"]).toBe(String(isha.port));
  expect(answer.headers["x-isha-model"]).toBe(model);
  expect(answer.headers["x-isha-fallback-from"]).toBe(
    isha.fallback_from === null ? undefined : String(isha.fallback_from),
  );
  return { port: isha.port, from: isha.fallback_from, model };
}

describe("a call is answered by", () => {
  it("the requested server only", async () => {
    expect(saidToBe(await inMediczy())).toEqual({ port: WANTED, from: null, model: "Heron-3B.gguf" });
    expect([await callsAt(replica), await callsAt(other)]).toEqual([0, 0]);
  });

  it("its replica if nothing listens on the requested port, and a header reports this", async () => {
    await wanted.set({ refuse: true });
    expect(saidToBe(await inMediczy())).toEqual({ port: REPLICA, from: WANTED, model: "Heron-3B.gguf" });
    expect(await callsAt(other)).toBe(0);
  });

  it("another model if no replica is up either, and a header names the requested port", async () => {
    await Promise.all([wanted.set({ refuse: true }), replica.set({ refuse: true })]);
    expect(saidToBe(await inMediczy())).toEqual({ port: OTHER, from: WANTED, model: "Wren-1B.gguf" });
  });

  it("a fallback, streamed, which is named in the headers and the last event", async () => {
    await Promise.all([wanted.set({ refuse: true }), replica.set({ refuse: true })]);
    const answer = await inMediczy({ call: { stream: true } });
    expect(answer.headers["x-isha-fallback-from"]).toBe(String(WANTED));
    expect(eventsOf(answer).at(-1)?.["isha"]).toMatchObject({ port: OTHER, fallback_from: WANTED });
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
  });

  it("the next fallback if the first has no room", async () => {
    await serveShortCalls(agent.port, { ports: [REPLICA], fallbackPorts: [] });
    await Promise.all([wanted.set({ refuse: true }), replica.set({ stall: true })]);
    // Both slots of the first, and every place in its queue.
    const waiting = Array.from({ length: 2 + 2 * QUEUE_PER_SLOT }, (_, number) =>
      ask(agent.port, {
        call: { keyId: `key-${number % 5}`, wantedPort: REPLICA, ports: [REPLICA], fallbackPorts: [] },
      }),
    );
    await until(() => queuedCalls(agent) === 2 * QUEUE_PER_SLOT);
    const call = { ports: [WANTED], keyId: "another" };
    const answer = await inMediczy({ call: { ...call, fallbackPorts: [REPLICA, OTHER] } });
    expect(saidToBe(answer)).toEqual({ port: OTHER, from: WANTED, model: "Wren-1B.gguf" });
    // Without another fallback, the error is that the first is full, not that no server is up.
    const refused = await answered(agent.port, { call: { ...call, fallbackPorts: [REPLICA] } });
    expect(errorOf(refused).code).toBe("overloaded");
    for (const asked of waiting) asked.leave();
    await until(() => queuedCalls(agent) === 0);
  });

  it("its own server again as soon as that is up", async () => {
    await wanted.set({ refuse: true });
    await inMediczy();
    await reset(wanted);
    await agent.settled(WANTED);
    expect(saidToBe(await inMediczy())).toMatchObject({ port: WANTED, from: null });
  });

  it("no server of another fleet file: a port that this box doesn't have counts as down", async () => {
    const answer = await inMediczy({
      call: { wantedPort: 9999, ports: [9999], fallbackPorts: [9998, OTHER] },
    });
    expect(saidToBe(answer)).toMatchObject({ port: OTHER, from: 9999 });
  });

  it("no fallback if its own server fails on it: fallbacks are for servers that aren't up", async () => {
    await wanted.set({ fault: "echo500" });
    expect((await inMediczy()).status).toBe(502);
    expect([await callsAt(replica), await callsAt(other)]).toEqual([0, 0]);
  });
});

describe("a loading server", () => {
  /** Waits until the agent knows that the server is loading and a call is waiting. */
  const waits = (port: number): Promise<boolean> =>
    until(() => agent.bodies.bytes > 0 && agent.live.servers.get(port)?.view().state === "loading");

  it("answers waiting calls as soon as it is ready", async () => {
    await wanted.set({ loading: true });
    const asked = ask(agent.port, { call: { ports: [WANTED], format: "mediczy" } });
    await waits(WANTED);
    expect(asked.text()).toBe("");
    agent.later(700);
    await wanted.set({ loading: false });
    const answer = await asked.answer;
    expect(saidToBe(answer)).toMatchObject({ port: WANTED, from: null });
    expect(Number(answer.headers["x-isha-queue-ms"])).toBe(700);
    expect(await callsAt(other)).toBe(0);
  });

  it("is not waited for if a replica is ready", async () => {
    await wanted.set({ loading: true });
    expect(saidToBe(await inMediczy())).toMatchObject({ port: REPLICA, from: WANTED });
    expect(await callsAt(wanted)).toBeLessThanOrEqual(1);
  });

  it("is waited for if its replica is down, and so is a loading replica", async () => {
    await Promise.all([wanted.set({ refuse: true }), replica.set({ loading: true })]);
    const asked = ask(agent.port, { call: { format: "mediczy" } });
    await waits(REPLICA);
    await replica.set({ loading: false });
    expect(saidToBe(await asked.answer)).toMatchObject({ port: REPLICA });
  });

  it("that dies while loading is replaced by the fallback", async () => {
    await wanted.set({ loading: true });
    const asked = ask(agent.port, { call: { ports: [WANTED], format: "mediczy" } });
    await waits(WANTED);
    await wanted.set({ refuse: true });
    expect(saidToBe(await asked.answer)).toMatchObject({ port: OTHER, from: WANTED });
  });

  it("gets no call whose client left meanwhile", async () => {
    await wanted.set({ loading: true });
    const asked = ask(agent.port, { call: { ports: [WANTED] } });
    await waits(WANTED);
    const before = agent.log.length;
    asked.leave();
    await until(() => agent.log.slice(before).join("").includes('"outcome":"aborted"'));
    await reset(wanted);
    expect(await callsAt(wanted)).toBe(0);
  });

  it("is not waited for as a fallback", async () => {
    noJitter();
    await Promise.all([
      wanted.set({ refuse: true }),
      replica.set({ refuse: true }),
      other.set({ loading: true }),
    ]);
    const answer = await answered(agent.port);
    expect(answer.status).toBe(503);
    expect(errorOf(answer).code).toBe("model_unavailable");
    expect(answer.headers).toMatchObject({
      "x-isha-started": "0",
      "x-isha-code": "model_unavailable",
      "retry-after": "10",
    });
  });
});

describe("if no server is left", () => {
  beforeEach(() => Promise.all([wanted, replica, other].map((simulator) => simulator.set({ refuse: true }))));

  it.each([true, false])(
    "a call gets a 503 with Retry-After and is marked as not started (stream: %s)",
    async (stream) => {
      noJitter();
      const answer = await answered(agent.port, { call: { stream } });
      expect(answer.status).toBe(503);
      expect(errorOf(answer)).toMatchObject({ code: "model_unavailable", request_id: "req-1" });
      expect(answer.headers).toMatchObject({
        "content-type": "application/json; charset=utf-8",
        "retry-after": "10",
        "retry-after-ms": "10000",
        "x-isha-started": "0",
        "x-isha-code": "model_unavailable",
        "x-isha-agent": "north",
        "cache-control": "no-store",
      });
    },
  );

  it("the error for a call without fallback names only its own server", async () => {
    await reset(other);
    const answer = await answered(agent.port, { call: { ports: [WANTED], fallbackPorts: [] } });
    expect(errorOf(answer).code).toBe("model_unavailable");
    expect(await callsAt(other)).toBe(0);
  });
});
