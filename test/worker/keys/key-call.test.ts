// A key's settings in the calls that are sent to a box.
import { expect, it } from "vitest";
import { PRIORITIES, type FallbackPolicy } from "../../../shared/fleet.ts";
import { dial, hello, linkServer, snapshot } from "../support/agents.ts";
import { CHAT, chat } from "../support/edge.ts";
import { stage } from "../support/fleet-stage.ts";
import { box, server } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { agentAnswer, callIn, fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

it.each(PRIORITIES)("a key's priority, %s, is sent with its calls", async (priority) => {
  const { edge, north } = stage();
  const sent = fakeFetch(() => agentAnswer(north, "{}"));
  const { key } = await newKey(edge, { priority });
  expect((await edge(CHAT, { key, body: chat() })).status).toBe(200);
  expect(callIn(sent[0]).priority).toBe(priority);
});

const BOX = "north";
const PORTS = [9000, 9001, 9002];

// The server that is requested by its port is down; there are a replica and a default server of another model.
it.each<[FallbackPolicy, number[]]>([
  ["auto", [9002, 9000]],
  ["same-model", [9002]],
  ["none", []],
])("a key with the fallback policy %s has the fallback ports %j", async (fallback, ports) => {
  const replica = { model: "Model-9001", file: "model-9001.gguf" };
  const { edge, fleet } = stage({
    boxes: [box(BOX, [server(9000), server(9001, replica), server(9002, replica)])],
  });
  const agent = await dial(fleet, BOX);
  agent.send(hello({ box: BOX, servers: PORTS.map((port) => ({ port, model: "Model-1" })) }));
  const states = PORTS.map((port) => linkServer(port, { state: port === 9001 ? "down" : "ready" }));
  agent.send(snapshot(1, { servers: states }));
  await untilHolds(async () => expect(JSON.stringify(await fleet.boxes())).toContain('"down"'));
  const sent = fakeFetch(() => agentAnswer(BOX, "{}"));
  const { key } = await newKey(edge, { fallback });
  expect((await edge(CHAT, { key, body: chat({ model_port: 9001 }) })).status).toBe(200);
  expect(callIn(sent[0])).toMatchObject({ ports: [9001], fallbackPorts: ports });
});
