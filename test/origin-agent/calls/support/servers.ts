// Starts servers and an agent for one test, and stops them after it.
import { afterEach } from "vitest";
import type { Switches } from "../../../sim/llama/switches.ts";
import type { SimulatedServer } from "../../../sim/start.ts";
import { startAgent, startSimulator, type TestAgent } from "../../support/box.ts";

export interface OwnServers {
  /** Starts a server that is stopped after the test. */
  server(port: number, switches?: Partial<Switches>): Promise<SimulatedServer>;
  /** Starts an agent in front of these servers; it is closed after the test. */
  agent(servers: Readonly<Record<number, SimulatedServer>>): Promise<TestAgent>;
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
    agent: async (servers) => {
      const listening = Object.entries(servers).map(([port, server]) => [port, server.port]);
      const agent = await startAgent(Object.fromEntries(listening) as Record<number, number>);
      closing.push(() => agent.close());
      await agent.settled();
      return agent;
    },
  };
}
