// Starts servers and an agent: one pair for all tests of a file, or a test's own, which are stopped after it.
import { afterAll, afterEach, beforeEach } from "vitest";
import type { Switches } from "../../../sim/llama/switches.ts";
import type { SimulatedServer } from "../../../sim/start.ts";
import { reset, startAgent, startSimulator, WANTED, type TestAgent } from "../../support/box.ts";

/** One server with an agent in front of it, for the whole file; both are reset before each test. */
export async function oneServer(): Promise<{
  readonly simulator: SimulatedServer;
  readonly agent: TestAgent;
}> {
  const simulator = await startSimulator(WANTED);
  const agent = await startAgent({ [WANTED]: simulator.port });
  beforeEach(async () => {
    await reset(simulator);
    await agent.settled(WANTED);
  });
  afterAll(async () => {
    await agent.close();
    await simulator.stop();
  });
  return { simulator, agent };
}

type AgentOptions = Parameters<typeof startAgent>[1];

export interface OwnServers {
  /** Starts a server that is stopped after the test. */
  server(port: number, switches?: Partial<Switches>): Promise<SimulatedServer>;
  /** Starts an agent in front of these servers; it is closed after the test. */
  agent(servers: Readonly<Record<number, SimulatedServer>>, options?: AgentOptions): Promise<TestAgent>;
}

export function ownServers(): OwnServers {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return {
    server: async (port, switches = {}) => {
      const server = await startSimulator(port, switches);
      closing.push(() => server.stop());
      return server;
    },
    agent: async (servers, options = {}) => {
      const listening = Object.entries(servers).map(([port, server]) => [port, server.port]);
      const agent = await startAgent(Object.fromEntries(listening) as Record<number, number>, options);
      closing.push(() => agent.close());
      await agent.settled();
      return agent;
    },
  };
}
