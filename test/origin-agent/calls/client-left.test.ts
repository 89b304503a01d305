// Checks that work ends on the GPU, not only at the socket, when a client disconnects or a deadline passes.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { State } from "../../sim/start.ts";
import { ask, dataOf, errorOf, type OpenCall } from "../support/ask.ts";
import { callsOf, queuedCalls, WANTED } from "../support/box.ts";
import { MANUAL_DEADLINE_MS, interceptDeadlines } from "../support/manual-deadlines.ts";
import { until } from "../../support/until.ts";
import { oneServer } from "./support/servers.ts";

const { simulator, agent } = await oneServer();

const isIdle = (state: State): boolean => state.generating === 0 && state.deferred === 0;
const callsIn = ({ finished }: State): State["finished"] =>
  finished.filter(({ route }) => route === "/v1/chat/completions");
const isBusy = (state: State): boolean => state.generating > 0;
/** An answer that takes minutes at the speed of `SLOWLY`. */
const ENDLESS = { ignore_eos: true, max_tokens: 500 };
const SLOWLY = { tokensPerSecond: 5 };

describe("a client that disconnects", () => {
  it.each(["openai", "mediczy"] as const)("in the middle of a stream frees its slot (%s)", async (format) => {
    await simulator.set(SLOWLY);
    const asked = ask(agent.port, { call: { stream: true, format }, body: ENDLESS });
    await asked.arrived(/"content":"[^"]/);
    asked.leave();
    const state = await simulator.until((state) => isIdle(state) && callsIn(state).length === 1);
    expect(callsIn(state)[0]?.outcome).toBe("aborted");
    expect(callsIn(state)[0]?.generatedTokens).toBeLessThan(400);
  });

  it("before a stream's first event frees its slot", async () => {
    await simulator.set({ stall: true });
    const asked = ask(agent.port, { call: { stream: true } });
    await simulator.until(isBusy);
    asked.leave();
    const state = await simulator.until((state) => isIdle(state) && callsIn(state).length === 1);
    expect(callsIn(state)[0]).toMatchObject({ outcome: "aborted", generatedTokens: 0 });
  });

  it("from an unstreamed answer frees its slot", async () => {
    await simulator.set(SLOWLY);
    const asked = ask(agent.port, { body: ENDLESS });
    await simulator.until(isBusy);
    asked.leave();
    const state = await simulator.until((state) => isIdle(state) && callsIn(state).length === 1);
    expect(callsIn(state)[0]?.outcome).toBe("aborted");
  });

  it("while others wait for a slot lets the next one start, without effect on the others", async () => {
    await simulator.set({ stall: true });
    const two = (): OpenCall[] => [1, 2].map(() => ask(agent.port, { call: { stream: true } }));
    const running = two();
    await simulator.until((state) => state.generating === 2);
    const others = two();
    await until(() => queuedCalls(agent) === 2);
    expect((await simulator.state()).deferred).toBe(0);
    for (const one of running) one.leave();
    await simulator.set({ stall: false });
    for (const other of others) expect(dataOf(await other.answer).at(-1)).toBe("[DONE]");
    await simulator.until(isIdle);
  });

  it("is logged in one line, and not as an error", async () => {
    await simulator.set({ stall: true });
    const before = agent.calls().length;
    const asked = ask(agent.port, { call: { stream: true } });
    await simulator.until(isBusy);
    asked.leave();
    await until(() => agent.calls().length > before);
    expect(agent.calls()).toHaveLength(before + 1);
    const line = agent.calls()[before];
    expect(line).toMatchObject({ event: "call", outcome: "aborted", port: WANTED, level: 30 });
    expect(line).not.toHaveProperty("code");
  });

  it("frees the memory of its body", async () => {
    await simulator.set({ stall: true });
    const asked = ask(agent.port, { body: { note: "x".repeat(10_000) } });
    await simulator.until(isBusy);
    expect(agent.bodies.bytes).toBeGreaterThan(10_000);
    asked.leave();
    await until(() => agent.bodies.bytes === 0);
  });
});

describe("a call whose deadline passes", () => {
  const deadlineMs = MANUAL_DEADLINE_MS;
  let passDeadlines: () => void;
  beforeEach(() => {
    passDeadlines = interceptDeadlines();
  });
  afterEach(() => void vi.restoreAllMocks());

  it.each([true, false])(
    "before its answer's first byte gets a 504 and frees its slot (stream: %s)",
    async (stream) => {
      await simulator.set({ stall: true });
      const asked = ask(agent.port, { call: { stream, deadlineMs } });
      await simulator.until(isBusy);
      passDeadlines();
      const answer = await asked.answer;
      expect(answer.status).toBe(504);
      expect(errorOf(answer)).toMatchObject({ code: "deadline_exceeded", type: "timeout_error" });
      expect(answer.headers["x-isha-started"]).toBe("1");
      const state = await simulator.until((state) => isIdle(state) && callsIn(state).length === 1);
      expect(callsIn(state)[0]?.outcome).toBe("aborted");
    },
  );

  it.each(["openai", "mediczy"] as const)(
    "in mid-stream ends it with one error event and no [DONE] (%s)",
    async (format) => {
      await simulator.set({ stallAfterTokens: 3 });
      const asked = ask(agent.port, { call: { stream: true, format, deadlineMs } });
      await asked.arrived(/"content":"[^"]/);
      passDeadlines();
      const answer = await asked.answer;
      expect(answer.status).toBe(200);
      expect(answer.complete).toBe(true);
      expect(errorOf(answer).code).toBe("deadline_exceeded");
      expect(answer.text.match(/"error"/g)).toHaveLength(1);
      expect(answer.text).not.toContain("[DONE]");
      await simulator.until(isIdle);
    },
  );

  it("while its server is loading reports that nothing was started", async () => {
    await simulator.set({ loading: true });
    await until(() => agent.live.servers.get(WANTED)?.view().state === "loading");
    const asked = ask(agent.port, { call: { ports: [WANTED], fallbackPorts: [], deadlineMs } });
    await until(() => agent.bodies.bytes > 0);
    passDeadlines();
    const answer = await asked.answer;
    expect(errorOf(answer).code).toBe("deadline_exceeded");
    expect(answer.headers["x-isha-started"]).toBe("0");
  });

  it("at a server that never answers is handled as at one that stalls", async () => {
    await simulator.set({ fault: "neverAnswer" });
    const asked = ask(agent.port, { call: { deadlineMs } });
    await until(async () => (await callsOf(simulator)).length === 1);
    passDeadlines();
    expect(errorOf(await asked.answer).code).toBe("deadline_exceeded");
  });
});
