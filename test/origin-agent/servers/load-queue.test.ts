// Calls that wait for a server to load: they wait in the agent's queue, like those that wait for a slot.
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { LiveServer } from "../../../origin-agent/servers/server.ts";
import { QUEUE_PER_SLOT } from "../../../shared/limits.ts";
import type { Priority } from "../../../shared/fleet.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { noJitter } from "../../support/no-jitter.ts";
import { until } from "../../support/until.ts";
import { ask, dataOf, errorOf, serveShortCalls, type Answer } from "../support/ask.ts";
import {
  callsOf,
  OTHER,
  queuedCalls,
  reset,
  startAgent,
  startSimulator,
  testBox,
  WANTED,
  type TestAgent,
} from "../support/box.ts";

let wanted: SimulatedServer;
let other: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  [wanted, other] = await Promise.all([startSimulator(WANTED), startSimulator(OTHER)]);
  agent = await startAgent({ [WANTED]: wanted.port, [OTHER]: other.port });
});
beforeEach(async () => {
  await Promise.all([wanted, other].map(reset));
  await agent.settled();
  // Short calls, so that none is refused for a long expected wait.
  await serveShortCalls(agent.port, ONE);
  await wanted.forget();
});
afterAll(async () => {
  await agent.close();
  await Promise.all([wanted, other].map((simulator) => simulator.stop()));
});

const ONE = { ports: [WANTED], fallbackPorts: [] };
const PLACES = (testBox().servers[0]?.slots ?? 0) * QUEUE_PER_SLOT;

async function load(): Promise<void> {
  await wanted.set({ loading: true });
  await until(() => agent.live.servers.get(WANTED)?.view().state === "loading");
}

describe("150 streams that arrive while their server loads", () => {
  it("are queued and counted up to the places, refused at once beyond, and all queued ones are answered", async () => {
    await load();
    const refused: Answer[] = [];
    const open = Array.from({ length: 150 }, (_, at) => {
      const one = ask(agent.port, { call: { ...ONE, keyId: `key-${at % 10}`, stream: true } });
      void one.answer.then((answer) => answer.status !== 200 && refused.push(answer));
      return one;
    });
    await until(() => queuedCalls(agent) + refused.length === 150);
    expect(queuedCalls(agent)).toBe(PLACES);
    expect(agent.live.dispatch.queueOf(WANTED)).toMatchObject({ waiting: PLACES, places: PLACES });
    for (const answer of refused) {
      expect(answer.status).toBe(503);
      expect(errorOf(answer).code).toBe("model_loading");
      expect(answer.headers["x-isha-started"]).toBe("0");
      expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    }
    await wanted.set({ loading: false });
    const answers = await Promise.all(open.map(({ answer }) => answer));
    const streams = answers.filter(({ status }) => status === 200);
    expect(streams).toHaveLength(PLACES);
    for (const answer of streams) expect(dataOf(answer).at(-1)).toBe("[DONE]");
  });

  it("begin by priority when it is up, whatever the order of their arrival", async () => {
    await load();
    const calls: Promise<Answer>[] = [];
    for (const priority of ["low", "normal", "high"] satisfies Priority[]) {
      for (const words of [`${priority} one`, `${priority} two`]) {
        const waiting = queuedCalls(agent);
        const body = { messages: [{ role: "user", content: words }] };
        calls.push(
          ask(agent.port, { call: { ...ONE, keyId: words.replace(" ", "-"), priority }, body }).answer,
        );
        await until(() => queuedCalls(agent) === waiting + 1);
      }
    }
    await wanted.set({ loading: false, stall: true });
    await wanted.until(({ generating }) => generating === 2);
    const begun = (await callsOf(wanted)).map(({ body }) => /(high|normal|low) (one|two)/.exec(body)?.[1]);
    expect(begun).toEqual(["high", "high"]);
    await wanted.set({ stall: false });
    await Promise.all(calls);
  });

  it("beyond the places get another model at once if it may serve them", async () => {
    await load();
    const call = { ...ONE, keyId: "key-1", stream: true };
    const waiting = Array.from({ length: PLACES / 2 }, () => ask(agent.port, { call }));
    await until(() => queuedCalls(agent) === PLACES / 2);
    const answer = await ask(agent.port, { call: { ...call, fallbackPorts: [OTHER] } }).answer;
    expect(answer.status).toBe(200);
    expect(answer.headers["x-isha-fallback-from"]).toBe(String(WANTED));
    for (const one of waiting) one.leave();
    await until(() => queuedCalls(agent) === 0);
  });
});

describe("a call that is refused while its server loads", () => {
  it("gets the learned load time in Retry-After", async () => {
    noJitter();
    const remaining = vi.spyOn(LiveServer.prototype, "remainingLoadMs", "get").mockReturnValue(9_000);
    onTestFinished(() => remaining.mockRestore());
    await load();
    const call = { ...ONE, keyId: "key-1" };
    const waiting = Array.from({ length: PLACES / 2 }, () => ask(agent.port, { call }));
    await until(() => queuedCalls(agent) === PLACES / 2);
    const refused = await ask(agent.port, { call }).answer;
    expect(errorOf(refused).code).toBe("model_loading");
    // The load, and then its key's turn.
    expect(Number(refused.headers["retry-after-ms"])).toBeGreaterThanOrEqual(9_000);
    for (const one of waiting) one.leave();
    await until(() => queuedCalls(agent) === 0);
  });
});

describe("a call that waits for a server to load", () => {
  it("leaves its place when its client goes, and when its key is revoked", async () => {
    await load();
    const left = ask(agent.port, { call: { ...ONE, keyId: "key-of-the-left" } });
    const revoked = ask(agent.port, { call: { ...ONE, keyId: "key-of-the-revoked" } });
    await until(() => queuedCalls(agent) === 2);
    left.leave();
    await until(() => queuedCalls(agent) === 1);
    expect(agent.live.dispatch.revoke("key-of-the-revoked")).toBe(1);
    expect(errorOf(await revoked.answer).code).toBe("invalid_key");
    expect(queuedCalls(agent)).toBe(0);
  });

  it("ends at once, with the reason, if the server dies meanwhile", async () => {
    await load();
    const asked = ask(agent.port, { call: ONE });
    await until(() => queuedCalls(agent) === 1);
    await wanted.set({ loading: false, refuse: true });
    expect(errorOf(await asked.answer).code).toBe("model_unavailable");
    expect(queuedCalls(agent)).toBe(0);
  });
});
