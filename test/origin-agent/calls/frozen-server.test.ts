// Freezes servers under running calls: a replica finishes the calls, and a server that is only slow keeps them.
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Switches } from "../../sim/llama/switches.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { answered, ask, deltasOf, jsonOf } from "../support/ask.ts";
import { callsOf, REPLICA, WANTED, type TestAgent } from "../support/box.ts";
import { interceptDeadlines } from "../support/manual-deadlines.ts";
import { until } from "../../support/until.ts";
import { ownServers } from "./support/servers.ts";

const own = ownServers();
afterEach(() => void vi.restoreAllMocks());

interface Pair {
  readonly first: SimulatedServer;
  readonly second: SimulatedServer;
  readonly agent: TestAgent;
}

/** Two servers of one model; the first gets the call if both are idle. */
async function pair(first: Partial<Switches>): Promise<Pair> {
  const servers = await Promise.all([own.server(WANTED, first), own.server(REPLICA)]);
  const agent = await own.agent({ [WANTED]: servers[0], [REPLICA]: servers[1] });
  return { first: servers[0], second: servers[1], agent };
}

/** Waits for a cause, while the first server's `/health` times out: the real time-outs are as long as a test. */
async function silentUntil(cause: string, { agent }: Pair): Promise<void> {
  const server = agent.live.servers.get(WANTED);
  await until(() => {
    server?.observe({ kind: "health", answer: "timeout" });
    return server?.view().cause.tag === cause;
  }, cause);
}

describe("the calls of a frozen process", () => {
  it("are finished by the replica after 10 s without an answer: a stream continues, a JSON answer is replayed", async () => {
    const box = await pair({ stallAfterTokens: 5 });
    const { first, second, agent } = box;
    const only = await answered(agent.port, { call: { wantedPort: REPLICA, ports: [REPLICA] } });
    const [{ message }] = jsonOf(only)["choices"] as [{ message: { content: string } }];
    await second.forget();
    const stream = ask(agent.port, { call: { stream: true } });
    const json = ask(agent.port);
    await stream.arrived(/"content":"[^"]/);
    await first.until((state) => state.generating === 2);
    const passWaits = interceptDeadlines(2_000);
    process.kill(first.pid, "SIGSTOP");
    await silentUntil("no-answer", box);
    expect(agent.calls()).toHaveLength(1);
    agent.serversLater(10_000);
    await silentUntil("frozen", box);
    await until(() => {
      passWaits();
      return agent.calls().length === 3;
    });
    vi.restoreAllMocks();
    expect(deltasOf(await stream.answer)).toBe(message.content);
    expect((await json.answer).headers["x-isha-port"]).toBe(String(REPLICA));
    const retries = agent.calls().slice(1);
    expect(retries.map(({ replays, continuations }) => [replays, continuations])).toEqual(
      expect.arrayContaining([
        [1, undefined],
        [undefined, 1],
      ]),
    );
    process.kill(first.pid, "SIGCONT");
    await until(() => agent.live.servers.get(WANTED)?.usable === true);
  });
});

describe("a call without a byte", () => {
  /** Lets as many seconds pass by the servers' clock, with a reading of `/slots` in each. */
  const readings = async ({ first, agent }: Pair, seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      const before = (await first.state()).requestsByRoute["/slots"] ?? 0;
      agent.serversLater(1_000);
      await first.until((state) => (state.requestsByRoute["/slots"] ?? 0) > before);
    }
  };

  it("that no slot shows 15 s after it was sent is given to the replica", async () => {
    const box = await pair({ holdPickUp: true });
    const { first, agent } = box;
    const asked = ask(agent.port);
    await first.until(({ received }) => received.some(({ path }) => path === "/v1/chat/completions"));
    await readings(box, 1);
    expect(agent.calls()).toEqual([]);
    const passWaits = interceptDeadlines(2_000);
    await until(() => {
      agent.serversLater(1_000);
      passWaits();
      return agent.calls().length === 1;
    });
    vi.restoreAllMocks();
    expect((await asked.answer).headers["x-isha-port"]).toBe(String(REPLICA));
  });

  it("whose long prompt a slot shows stays where it is", async () => {
    const box = await pair({ stallAfterPromptTokens: 3 });
    const { first, second, agent } = box;
    const asked = ask(agent.port);
    await first.until((state) => state.generating === 1);
    // Longer than an unseen call may take, shorter than a prompt without progress.
    await readings(box, 19);
    expect(agent.calls()).toEqual([]);
    await first.set({ stallAfterPromptTokens: null });
    expect((await asked.answer).headers["x-isha-port"]).toBe(String(WANTED));
    expect(await callsOf(second)).toEqual([]);
  });

  it("to a server that leaves /slots unanswered meanwhile stays where it is", async () => {
    const box = await pair({ holdPickUp: true });
    const { first, second, agent } = box;
    const server = agent.live.servers.get(WANTED);
    const asked = ask(agent.port);
    await first.until(({ received }) => received.some(({ path }) => path === "/v1/chat/completions"));
    for (let second = 0; second < 20; second += 1) {
      agent.serversLater(1_000);
      server?.observe({ kind: "slots", slots: null });
    }
    expect(agent.calls()).toEqual([]);
    await first.set({ holdPickUp: false });
    expect((await asked.answer).headers["x-isha-port"]).toBe(String(WANTED));
    expect(await callsOf(second)).toEqual([]);
  });
});
