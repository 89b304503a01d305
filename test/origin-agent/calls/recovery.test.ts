// Breaks servers under running calls, with real processes: a replica finishes them, or they are retried or end with an error.
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Exchange, Upstream } from "../../../origin-agent/servers/upstream-sockets.ts";
import type { Switches } from "../../sim/llama/switches.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import {
  answered,
  ask,
  dataOf,
  deltasOf,
  errorOf,
  eventsOf,
  jsonOf,
  type Answer,
  type Json,
} from "../support/ask.ts";
import { callsOf, REPLICA, reset, startSimulator, WANTED, type TestAgent } from "../support/box.ts";
import { ownServers } from "./support/servers.ts";
import { interceptDeadlines } from "../support/manual-deadlines.ts";
import { until } from "../../support/until.ts";

const own = ownServers();

interface Pair {
  readonly first: SimulatedServer;
  readonly second: SimulatedServer;
  readonly agent: TestAgent;
}

/** The replica in tests in which it doesn't break. */
let healthy: SimulatedServer;
beforeAll(async () => {
  healthy = await startSimulator(REPLICA);
});
afterAll(() => healthy.stop());

/** Two servers of one model; the first gets the call if both are idle. */
async function pair(first: Partial<Switches>, second?: Partial<Switches>): Promise<Pair> {
  const replica = second === undefined ? reset(healthy).then(() => healthy) : own.server(REPLICA, second);
  const servers = await Promise.all([own.server(WANTED, first), replica]);
  const agent = await own.agent({ [WANTED]: servers[0], [REPLICA]: servers[1] });
  return { first: servers[0], second: servers[1], agent };
}

/** The complete answer of a server that doesn't break. */
async function wholeText({ second, agent }: Pair): Promise<string> {
  const answer = await answered(agent.port, { call: { wantedPort: REPLICA, ports: [REPLICA] } });
  const [choice] = jsonOf(answer)["choices"] as [{ message: { content: string } }];
  await second.forget();
  return choice.message.content;
}

/** The counts of retries in `/metrics`, by kind. */
async function recoveriesOf({ agent }: Pair, kind: "replay" | "continuation"): Promise<number> {
  const lines = (await agent.metrics.text())
    .split("\n")
    .filter((line) => line.startsWith("isha_recoveries_total{"));
  const counted = lines.filter(
    (line) => line.includes(`kind="${kind}"`) && line.includes(`port="${REPLICA}"`),
  );
  return counted.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const choicesOf = (answer: Answer): { delta?: Json; finish_reason: string | null }[] =>
  eventsOf(answer).flatMap((event) => event["choices"] as { delta?: Json; finish_reason: string | null }[]);

describe("a stream whose server dies in mid-answer", () => {
  it("is finished by its replica: no character lost or repeated, one id, one role, one finish reason", async () => {
    const box = await pair({ dieAfterTokens: 6, tokensPerSecond: 500 });
    const expected = await wholeText(box);
    const answer = await answered(box.agent.port, {
      call: { stream: true },
      body: { stream_options: { include_usage: true } },
    });
    expect(deltasOf(answer)).toBe(expected);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
    expect(new Set(eventsOf(answer).map(({ id }) => id)).size).toBe(1);
    expect(choicesOf(answer).filter(({ delta }) => delta?.["role"] !== undefined)).toHaveLength(1);
    expect(choicesOf(answer).flatMap(({ finish_reason }) => finish_reason ?? [])).toEqual(["stop"]);
    await until(() => box.agent.calls().length === 2);
    expect(box.agent.calls()[1]).toMatchObject({ outcome: "complete", continuations: 1, port: REPLICA });
    expect(box.agent.booked[1]).toMatchObject({
      start: { port: WANTED },
      end: { outcome: "complete", estimated: true },
      served: { port: REPLICA },
    });
    expect([await recoveriesOf(box, "continuation"), await recoveriesOf(box, "replay")]).toEqual([1, 0]);
  });

  it("and whose replica dies too is not sent to a third: one error event, no [DONE]", async () => {
    const { agent } = await pair(
      { dieAfterTokens: 6, tokensPerSecond: 500 },
      { dieAfterTokens: 3, tokensPerSecond: 500 },
    );
    const answer = await answered(agent.port, { call: { stream: true } });
    expect(errorOf(answer).code).toBe("upstream_failed");
    expect(answer.text.match(/"error"/g)).toHaveLength(1);
    expect(answer.text).not.toContain("[DONE]");
    // A client that sends it again gets the refusal as a status.
    const again = await answered(agent.port, { call: { stream: true } });
    expect(again.status).toBe(502);
    expect(again.headers).toMatchObject({ "x-isha-started": "1", "x-should-retry": "false" });
  });
});

describe("a call whose server dies before anything was delivered", () => {
  it.each([true, false])(
    "is answered by its replica, unnoticed by the client (stream: %s)",
    async (stream) => {
      const box = await pair({ dieOnWord: "chest" });
      const expected = await wholeText(box);
      const answer = await answered(box.agent.port, { call: { stream } });
      expect(answer.status).toBe(200);
      const text = stream
        ? deltasOf(answer)
        : (jsonOf(answer)["choices"] as [{ message: { content: string } }])[0].message.content;
      expect(text).toBe(expected);
      await until(() => box.agent.calls().length === 2);
      expect(box.agent.calls()[1]).toMatchObject({ outcome: "complete", replays: 1, port: REPLICA });
      expect([await recoveriesOf(box, "continuation"), await recoveriesOf(box, "replay")]).toEqual([0, 1]);
    },
  );

  it("and that kills the replica too is not sent to a third server", async () => {
    const { first, second, agent } = await pair({ dieOnWord: "chest" }, { dieOnWord: "chest" });
    const answer = await answered(agent.port, { call: { fallbackPorts: [] } });
    expect(errorOf(answer).code).toBe("upstream_failed");
    expect(answer.headers["x-isha-started"]).toBe("1");
    await Promise.all([first.exited, second.exited]);
  });
});

describe("a call that stalls", () => {
  it.each([true, false])(
    "and whose slot stays busy goes to the replica after two seconds; the slot stays taken (stream: %s)",
    async (stream) => {
      const { first, second, agent } = await pair({ stall: true, busyAfterAbortMs: 3_600_000 });
      const passWaits = interceptDeadlines(2_000);
      const asked = ask(agent.port, { call: { stream, fallbackPorts: [] } });
      await first.until((state) => state.generating === 1);
      agent.live.dispatch.stalled(WANTED, null);
      await until(() => {
        passWaits();
        return agent.calls().length === 1;
      });
      vi.restoreAllMocks();
      const answer = await asked.answer;
      expect(answer.status).toBe(200);
      expect(await callsOf(second)).toHaveLength(1);
      expect(await callsOf(first)).toHaveLength(1);
      expect(agent.live.servers.get(WANTED)?.slots).toMatchObject({ awaiting: 1, free: 1 });
    },
  );
});

describe("a call that stalls on the only server", () => {
  it("goes to its other slot after two seconds", async () => {
    const first = await own.server(WANTED, { stall: true, busyAfterAbortMs: 3_600_000 });
    const agent = await own.agent({ [WANTED]: first });
    const passWaits = interceptDeadlines(2_000);
    const asked = ask(agent.port);
    await first.until((state) => state.generating === 1);
    agent.live.dispatch.stalled(WANTED, null);
    await until(async () => {
      passWaits();
      return (await callsOf(first)).length === 2;
    });
    vi.restoreAllMocks();
    await first.set({ stall: false });
    expect((await asked.answer).status).toBe(200);
  });
});

describe("a server that no connection reaches in time", () => {
  it("is passed by for its replica, and is not taken for one that refuses", async () => {
    const { first, second, agent } = await pair({});
    vi.spyOn(Upstream.prototype, "send").mockImplementationOnce((_request, listener) => {
      queueMicrotask(() => listener.failed("unconnected"));
      return new Exchange(listener);
    });
    const answer = await answered(agent.port);
    vi.restoreAllMocks();
    expect(answer.headers["x-isha-port"]).toBe(String(REPLICA));
    expect([(await callsOf(first)).length, (await callsOf(second)).length]).toEqual([0, 1]);
    expect(agent.live.servers.get(WANTED)?.view().state).toBe("ready");
  });
});

describe("a stream cut by a server that stays up", () => {
  it("is finished too", async () => {
    const box = await pair({ cutAfterTokens: 5, faultTimes: 1, tokensPerSecond: 500 });
    const expected = await wholeText(box);
    const answer = await answered(box.agent.port, { call: { stream: true, format: "mediczy" } });
    const texts = eventsOf(answer).flatMap((event) =>
      (event["choices"] as { text?: string }[]).map(({ text }) => text),
    );
    expect(texts.join("")).toBe(expected);
    expect(eventsOf(answer).at(-1)).toHaveProperty("isha");
  });
});
