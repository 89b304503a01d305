// What an operator gave a key, as it stands in the call that a box is sent for it.
import { expect, it } from "vitest";
import { PRIORITIES, type FallbackPolicy } from "../../../shared/fleet.ts";
import { dial, hello, linkServer, snapshot } from "../support/agents.ts";
import { CHAT, chat } from "../support/edge.ts";
import { stage } from "../support/fleet-stage.ts";
import { box, server } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { agentAnswer, callIn, fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

it.each(PRIORITIES)("a key's priority, %s, is its calls'", async (priority) => {
  const { edge, north } = stage();
  const sent = fakeFetch(() => agentAnswer(north, "{}"));
  const { key } = await newKey(edge, { priority });
  expect((await edge(CHAT, { key, body: chat() })).status).toBe(200);
  expect(callIn(sent[0]).priority).toBe(priority);
});

const HERE = "north";
const PORTS = [9000, 9001, 9002];

// The server that is asked for by its port is down, by its box's words; it has a replica, and a default of another model.
it.each<[FallbackPolicy, number[]]>([
  ["auto", [9002, 9000]],
  ["same-model", [9002]],
  ["none", []],
])("a key with the fallback policy %s lets its calls fall back to the ports %j", async (fallback, ports) => {
  const replica = { model: "Model-9001", file: "model-9001.gguf" };
  const { edge, fleet } = stage({
    boxes: [box(HERE, [server(9000), server(9001, replica), server(9002, replica)])],
  });
  const agent = await dial(fleet, HERE);
  agent.send(hello({ box: HERE, servers: PORTS.map((port) => ({ port, model: "Model-1" })) }));
  const states = PORTS.map((port) => linkServer(port, { state: port === 9001 ? "down" : "ready" }));
  agent.send(snapshot(1, { servers: states }));
  await untilHolds(async () => expect(JSON.stringify(await fleet.boxes())).toContain('"down"'));
  const sent = fakeFetch(() => agentAnswer(HERE, "{}"));
  const { key } = await newKey(edge, { fallback });
  expect((await edge(CHAT, { key, body: chat({ model_port: 9001 }) })).status).toBe(200);
  expect(callIn(sent[0])).toMatchObject({ ports: [9001], fallbackPorts: ports });
});
