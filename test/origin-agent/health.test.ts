// What `/healthz` says of the box: the health core's word, in the edge's three.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { boxHealth } from "../../origin-agent/health.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { REPLICA, startAgent, startSimulator, WANTED, type TestAgent } from "./box.ts";
import { until } from "../support/until.ts";

let ready: SimulatedServer;
let loading: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  [ready, loading] = await Promise.all([startSimulator(WANTED), startSimulator(REPLICA, { loading: true })]);
  agent = await startAgent({ [WANTED]: ready.port, [REPLICA]: loading.port });
  await agent.settled(WANTED);
});
afterAll(async () => {
  await agent.close();
  await Promise.all([ready.stop(), loading.stop()]);
});

const states = (): (readonly [number, string])[] =>
  boxHealth("north", "1.2.3", agent.live.servers, false).servers.map(
    ({ port, state }) => [port, state] as const,
  );

describe("a box's health", () => {
  it("says each server's state by the fleet file's port, in its order, and costs no look", async () => {
    await until(() => states()[1]?.[1] === "loading");
    const asked = (await ready.state()).requestsByRoute["/health"] ?? 0;
    for (let time = 0; time < 500; time += 1) {
      expect(boxHealth("north", "1.2.3", agent.live.servers, false)).toEqual({
        box: "north",
        version: "1.2.3",
        servers: [
          { port: 9101, model: "Heron-3B", state: "ready" },
          { port: 9102, model: "Heron-3B", state: "loading" },
          { port: 9103, model: "Wren-1B", state: "down" },
        ],
      });
    }
    expect((await ready.state()).requestsByRoute["/health"] ?? 0).toBeLessThan(asked + 500);
  });

  it("follows a server that comes and goes", async () => {
    await loading.set({ loading: false });
    await until(() => states()[1]?.[1] === "ready");
    await loading.set({ refuse: true });
    await until(() => states()[1]?.[1] === "down");
  });
});
