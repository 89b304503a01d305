// The agent's processes of one box, one after the other and at the same time, as PM2 starts them.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Presence } from "../../origin-agent/presence.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { until } from "../support/until.ts";
import {
  agentPrograms,
  lineOf,
  portOf,
  type AgentPrograms,
  type RunningAgent,
} from "./support/agent-programs.ts";
import { answered, errorOf } from "./support/ask.ts";
import { startSimulator, WANTED } from "./support/box.ts";
import { startEdgeDouble, type EdgeDouble } from "./support/edge-double.ts";

let simulator: SimulatedServer;
let edge: EdgeDouble;
let programs: AgentPrograms;

beforeAll(async () => {
  [simulator, edge] = await Promise.all([startSimulator(WANTED), startEdgeDouble()]);
  programs = await agentPrograms(simulator.port);
});
afterAll(async () => {
  await programs.end();
  await edge.close();
  await simulator.stop();
});

describe("a process of the agent", () => {
  it("is visible to the box's other agent from its start, not from its first call, until it exits", async () => {
    const state = join(programs.folder, "state-shared");
    const [old, next] = [programs.start({ ISHA_STATE: state }), programs.start({ ISHA_STATE: state })];
    const agents = [old, next];
    await Promise.all(agents.map(portOf));
    const epochs = agents.map((agent) => String(lineOf(agent, "listening")?.["epoch"]));
    const sees = (epoch: string | undefined): boolean =>
      new Presence(join(state, "agents"), epoch ?? "").isShared();
    expect(epochs.map(sees)).toEqual([true, true]);
    await old.kill();
    expect(epochs.map(sees)).toEqual([true, false]);
    const third = programs.start({ ISHA_STATE: state });
    await portOf(third);
    // The file of the exited process is gone.
    expect(await readdir(join(state, "agents"))).toHaveLength(2);
  });

  it("stays drained in its next process, without a link and with one, until the edge sends a newer resume", async () => {
    const state = join(programs.folder, "state-drained");
    const start = (environment: Record<string, string>): RunningAgent =>
      programs.start({ ISHA_STATE: state, ...environment });
    const code = async (agent: RunningAgent): Promise<string | null> => {
      const answer = await answered(await portOf(agent));
      return answer.status === 200 ? null : errorOf(answer).code;
    };
    const first = start({ EDGE_URL: edge.url });
    await edge.received("snapshot");
    edge.send({ t: "drain", at: 7 });
    await until(async () => (await code(first)) === "draining");

    await first.kill();
    const unlinked = start({});
    expect(await code(unlinked)).toBe("draining");
    expect(lineOf(unlinked, "drain")).toMatchObject({ since: 7 });

    await unlinked.kill();
    const last = start({ EDGE_URL: edge.url });
    const [, hello] = await edge.received("hello", 2);
    expect(hello?.drain).toEqual({ drained: true, at: 7 });
    edge.send({ t: "resume", at: 6 });
    edge.send({ t: "revoke", keyId: "after-the-old-resume" });
    await until(() => lineOf(last, "revoked"));
    expect(await code(last)).toBe("draining");
    edge.send({ t: "resume", at: 8 });
    await until(async () => (await code(last)) === null);
    expect(edge.faults).toEqual([]);
  });
});
