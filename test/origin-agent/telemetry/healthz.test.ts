// Checks `/healthz`: the servers' health states, mapped to the edge's three states.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { boxHealth } from "../../../origin-agent/telemetry/healthz.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { REPLICA, startAgent, startSimulator, WANTED, type TestAgent } from "../support/box.ts";
import { until } from "../../support/until.ts";

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

const NORTH = { box: "north", version: "1.2.3" };
const states = (): (readonly [number, string])[] =>
  boxHealth(NORTH, agent.live.servers, false).servers.map(({ port, state }) => [port, state] as const);

describe("a box's health", () => {
  it("reports each server's state by the fleet file's port and order, without a probe", async () => {
    await until(() => states()[1]?.[1] === "loading");
    const asked = (await ready.state()).requestsByRoute["/health"] ?? 0;
    for (let time = 0; time < 500; time += 1) {
      expect(boxHealth(NORTH, agent.live.servers, false)).toEqual({
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

  it("is marked if some of it is simulated", () => {
    expect(boxHealth({ ...NORTH, simulated: true }, agent.live.servers, false)).toMatchObject({
      simulated: true,
    });
  });

  it("follows a server that starts and stops", async () => {
    await loading.set({ loading: false });
    await until(() => states()[1]?.[1] === "ready");
    await loading.set({ refuse: true });
    await until(() => states()[1]?.[1] === "down");
  });
});
