// Checks the agent's own limits on keys and boxes: `concurrent`, a revocation, a box taken out of service.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { SimulatedServer } from "../../sim/start.ts";
import { answered, ask, dataOf, errorOf } from "../support/ask.ts";
import {
  callsOf,
  queuedCalls,
  reset,
  startAgent,
  startSimulator,
  testBox,
  WANTED,
  type TestAgent,
} from "../support/box.ts";
import { until } from "../../support/until.ts";

let wanted: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  wanted = await startSimulator(WANTED);
  agent = await startAgent({ [WANTED]: wanted.port });
});
beforeEach(async () => {
  agent.command({ t: "resume" });
  await reset(wanted);
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await wanted.stop();
});

const SLOTS = testBox().servers[0]?.slots ?? 0;
const ONE = { ports: [WANTED], fallbackPorts: [] };
const queued = (): number => queuedCalls(agent);
let keys = 0;
const newKey = (): string => `key-of-${(keys += 1)}`;

/** A key that has `count` calls on a stalled server. */
async function holding(keyId: string, count: number): Promise<ReturnType<typeof ask>[]> {
  await wanted.set({ stall: true });
  const calls = Array.from({ length: count }, () =>
    ask(agent.port, { call: { ...ONE, keyId, stream: true, continuable: false } }),
  );
  await wanted.until(({ generating }) => generating === Math.min(count, SLOTS));
  await until(() => queued() === Math.max(0, count - SLOTS));
  return calls;
}

async function hasRoom(keyId: string, concurrent: number): Promise<boolean> {
  const { status } = await answered(agent.port, { call: { ...ONE, keyId, concurrent } });
  return status === 200;
}

describe("a key at its concurrency limit", () => {
  it("is refused at once with a 429 and Retry-After, waiting calls included; another key is not", async () => {
    const keyId = newKey();
    const calls = await holding(keyId, SLOTS + 1);
    const refused = await answered(agent.port, { call: { ...ONE, keyId, concurrent: SLOTS + 1 } });
    expect(refused.status).toBe(429);
    expect(errorOf(refused)).toMatchObject({ code: "concurrency_exceeded", type: "rate_limit_error" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(refused.headers["x-isha-started"]).toBe("0");
    expect(queued()).toBe(1);
    const other = ask(agent.port, { call: { ...ONE, keyId: newKey(), concurrent: 1 } });
    await until(() => queued() === 2);
    await wanted.set({ stall: false });
    for (const { answer } of [...calls, other]) expect((await answer).status).toBe(200);
    expect(await hasRoom(keyId, 1)).toBe(true);
  });

  it.each<[string, (calls: ReturnType<typeof ask>[]) => Promise<void> | void]>([
    ["are answered", () => wanted.set({ stall: false }).then(() => undefined)],
    ["lose their clients, running or waiting", (calls) => calls.forEach((call) => call.leave())],
    ["break at their server", () => wanted.set({ stall: false, cutAfterTokens: 3 }).then(() => undefined)],
    [
      "were refused by their server",
      () => wanted.set({ stall: false, fault: "echo500" }).then(() => undefined),
    ],
  ])("has room again when its calls %s", async (_how, end) => {
    const keyId = newKey();
    const calls = await holding(keyId, SLOTS + 1);
    await end(calls);
    await Promise.allSettled(calls.map(({ answer }) => answer));
    await reset(wanted);
    await agent.settled();
    expect(await hasRoom(keyId, 1)).toBe(true);
    expect(await hasRoom(keyId, 1)).toBe(true);
  });

  it("has room again after rejected requests: a body too large, or one that isn't JSON", async () => {
    const keyId = newKey();
    const call = { ...ONE, keyId, concurrent: 1 };
    for (const body of ["x".repeat(1_100_000), "no json"])
      expect((await answered(agent.port, { call, body })).status).toBeGreaterThanOrEqual(400);
    expect(await hasRoom(keyId, 1)).toBe(true);
  });

  it("may send the next call as soon as it has its answer: sequential calls are never refused", async () => {
    const keyId = newKey();
    for (let at = 0; at < 50; at += 1) {
      const call = { ...ONE, keyId, concurrent: 1, stream: at % 2 === 0, choices: at % 5 === 0 ? 2 : 1 };
      const body = at % 5 === 0 ? { n: 2 } : {};
      expect((await answered(agent.port, { call, body })).status).toBe(200);
    }
  });
});

describe("a key's revocation", () => {
  it("refuses its waiting and future calls, lets running ones finish, and affects no other key", async () => {
    const keyId = newKey();
    const calls = await holding(keyId, SLOTS + 2);
    const other = ask(agent.port, { call: { ...ONE, keyId: newKey() } });
    await until(() => queued() === 3);
    expect(agent.live.dispatch.revoke(keyId)).toBe(2);
    await until(() => queued() === 1);
    const late = await answered(agent.port, { call: { ...ONE, keyId } });
    expect(late.status).toBe(401);
    expect(errorOf(late)).toMatchObject({ code: "invalid_key", message: expect.stringContaining("revoked") });
    await wanted.set({ stall: false });
    const answers = await Promise.all(calls.map(({ answer }) => answer));
    const begun = answers.filter(({ status }) => status === 200);
    expect(begun.map((answer) => dataOf(answer).at(-1))).toEqual(Array(SLOTS).fill("[DONE]"));
    expect(answers.filter(({ text }) => text.includes("invalid_key"))).toHaveLength(2);
    expect((await other.answer).status).toBe(200);
    expect(await callsOf(wanted)).toHaveLength(SLOTS + 1);
  });

  it("reaches a call that waits for its server to start", async () => {
    const keyId = newKey();
    await wanted.set({ loading: true });
    await until(() => agent.live.servers.get(WANTED)?.view().state === "loading");
    const waiting = ask(agent.port, { call: { ...ONE, keyId } });
    await wanted.until(({ loading }) => loading);
    agent.live.dispatch.revoke(keyId);
    expect(errorOf(await waiting.answer).code).toBe("invalid_key");
  });
});

describe("a box that an operator has drained", () => {
  it("accepts no new calls, finishes running ones, and serves again when it is resumed", async () => {
    const keyId = newKey();
    const [running] = await holding(keyId, 1);
    agent.command({ t: "drain" });
    const refused = await answered(agent.port, { call: { ...ONE, keyId } });
    expect(refused.status).toBe(503);
    expect(errorOf(refused).code).toBe("draining");
    expect(refused.headers["x-isha-started"]).toBe("0");
    await wanted.set({ stall: false });
    expect((await running?.answer)?.status).toBe(200);
    agent.command({ t: "resume" });
    expect(await hasRoom(keyId, 1)).toBe(true);
  });
});
