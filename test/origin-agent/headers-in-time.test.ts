// The edge waits 60 s for an answer's headers and then takes the agent for frozen: a live agent sends them within 50 s,
// whatever its call waits for.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BOX_HEADERS_WAIT_MS, JSON_HEADERS_AFTER_MS, STREAM_HEADERS_AFTER_MS } from "../../shared/limits.ts";
import type { Switches } from "../sim/llama/switches.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { until } from "../support/until.ts";
import { ask, type OpenCall } from "./support/ask.ts";
import { reset, startAgent, startSimulator, testBox, WANTED, type TestAgent } from "./support/box.ts";

let simulator: SimulatedServer;
let agent: TestAgent;
let calls: OpenCall[] = [];

beforeAll(async () => {
  simulator = await startSimulator(WANTED);
  agent = await startAgent({ [WANTED]: simulator.port });
});
beforeEach(async () => {
  for (const call of calls.splice(0)) call.leave();
  await reset(simulator);
  await agent.settled(WANTED);
});
afterAll(async () => {
  for (const call of calls) call.leave();
  await agent.close();
  await simulator.stop();
});

function send(stream: boolean): OpenCall {
  const call = ask(agent.port, { call: { stream, ports: [WANTED], fallbackPorts: [] } });
  calls.push(call);
  return call;
}

const state = (): string | undefined => agent.live.servers.get(WANTED)?.view().state;

/** Brings a new call into a state in which it gets no answer. */
const WAITING: readonly (readonly [string, (stream: boolean) => Promise<OpenCall>])[] = [
  [
    "queued",
    async (stream) => {
      await simulator.set({ stall: true });
      const slots = testBox().servers.find(({ port }) => port === WANTED)?.slots ?? 0;
      for (let at = 0; at < slots; at += 1) send(true);
      await simulator.until(({ generating }) => generating === slots);
      const call = send(stream);
      await until(() => agent.live.dispatch.queueOf(WANTED)?.waiting === 1);
      return call;
    },
  ],
  [
    "waiting for its server to load",
    async (stream) => {
      await simulator.set({ loading: true });
      await until(() => state() === "loading");
      const call = send(stream);
      await until(() => agent.bodies.bytes > 0);
      return call;
    },
  ],
  ["in prompt processing", (stream) => sent(stream, { stallAfterPromptTokens: 1 })],
  ["being generated", (stream) => sent(stream, { stallAfterTokens: 1 })],
  ["without a byte from its server", (stream) => sent(stream, { fault: "neverAnswer" })],
];

async function sent(stream: boolean, switches: Partial<Switches>): Promise<OpenCall> {
  await simulator.set(switches);
  await simulator.forget();
  const call = send(stream);
  await simulator.until(({ received }) => received.some(({ path }) => path === "/v1/chat/completions"));
  return call;
}

describe("a call's headers", () => {
  it.each(WAITING)("are sent within 50 s if it isn't streamed and %s", async (_, wait) => {
    const call = await wait(false);
    agent.later(JSON_HEADERS_AFTER_MS);
    await call.arrived(" ");
  });

  it.each(WAITING)("are sent within 2 s if it is streamed and %s", async (_, wait) => {
    const call = await wait(true);
    agent.later(STREAM_HEADERS_AFTER_MS);
    await call.arrived("\n\n");
  });

  it("come ten seconds before the edge gives up", () => {
    const latest = Math.max(JSON_HEADERS_AFTER_MS, STREAM_HEADERS_AFTER_MS);
    expect(latest + 10_000).toBeLessThanOrEqual(BOX_HEADERS_WAIT_MS);
  });
});
