import { describe, expect, it } from "vitest";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, newLegacyKey, type Edge } from "../support/edge.ts";
import { box, fleetOf, server } from "../support/fleets.ts";
import { agentAnswer, connectionLost, fakeFetch } from "../support/origin.ts";
import { reportingFleet, reportOf } from "../support/reports.ts";

interface Entry {
  readonly id: string;
  readonly object: string;
  readonly owned_by: string;
  readonly created: number;
  readonly isha: Readonly<Record<string, unknown>>;
}

/** A default with a replica for Alpha, and a model for Beta and Gamma. */
function fleetWith(line?: Awaited<ReturnType<typeof newLegacyKey>>["line"]): FleetConfig {
  return fleetOf({
    legacy: { keys: line === undefined ? [] : [line], anonymous: null },
    boxes: [
      box("north", [
        server(9000),
        server(9001, { model: "Model-9000", file: "model-9000.gguf", agents: ["Alpha"] }),
        server(9002, { agents: ["Beta", "Gamma"] }),
      ]),
    ],
  });
}

/** An edge whose box reports these states. */
function edgeWith(
  fleet: FleetConfig,
  states: Record<number, string> = { 9000: "ready", 9001: "ready", 9002: "ready" },
): Edge {
  captureLog();
  fakeFetch(() => agentAnswer("north", "{}"));
  return edgeOf(fleet, { bindings: { FLEET: reportingFleet([reportOf("north", states)]) } });
}

async function list(edge: Edge, key = "dev-key"): Promise<Entry[]> {
  const answer = await edge("/v1/models", { key });
  expect(answer.status).toBe(200);
  const body = await answer.json<{ object: string; data: Entry[] }>();
  expect(body.object).toBe("list");
  return body.data;
}

const ids = (entries: readonly Entry[]): string[] => entries.map(({ id }) => id);

describe("/v1/models", () => {
  it("lists each model once, then each agent type, in OpenAI's format", async () => {
    const entries = await list(edgeWith(fleetWith()));
    expect(ids(entries)).toEqual(["Model-9000", "Model-9002", "Alpha", "Beta", "Gamma"]);
    for (const { object, created, owned_by } of entries)
      expect({ object, created, owned_by }).toEqual({ object: "model", created: 0, owned_by: "isha" });
  });

  it("is in Anthropic's format for its clients, which send a version", async () => {
    const edge = edgeWith(fleetWith());
    const headers = { "anthropic-version": "2023-06-01" };
    const page = await (
      await edge("/v1/models", { headers })
    ).json<{ data: { id: string; type: string }[] }>();
    expect(page).toMatchObject({ has_more: false, first_id: "Model-9000", last_id: "Gamma" });
    expect(page.data[2]).toMatchObject({ type: "model", id: "Alpha", display_name: "Alpha" });
    const one = await (await edge("/v1/models/alpha", { headers })).json();
    expect(one).toEqual(page.data[2]);
  });

  it("describes each, with its current state", async () => {
    const entries = await list(edgeWith(fleetWith(), { 9000: "down", 9001: "ready", 9002: "loading" }));
    expect(entries[0]?.isha).toEqual({
      kind: "model",
      model: "Model-9000",
      file: "model-9000.gguf",
      ports: [9000, 9001],
      agent_types: ["Default", "Alpha"],
      description: "The model on 9000.",
      best_for: "work for 9000",
      context_length: 2048,
      max_tokens: 500,
      capabilities: ["chat"],
      state: "ready",
    });
    expect(entries.map(({ isha }) => isha["state"])).toEqual([
      "ready",
      "loading",
      "ready",
      "loading",
      "loading",
    ]);
    expect(entries[3]?.isha).toMatchObject({ kind: "agent_type", model: "Model-9002", ports: [9002] });
  });

  it("lists them as down if no box can be reached", async () => {
    captureLog();
    fakeFetch(connectionLost);
    const edge = edgeOf(fleetWith(), { bindings: { FLEET: reportingFleet([]) } });
    expect(new Set((await list(edge)).map(({ isha }) => isha["state"]))).toEqual(new Set(["down"]));
  });

  it.each<[string[], string[], number[][]]>([
    [["Beta"], ["Model-9002", "Beta"], [[9002], [9002]]],
    [
      ["Beta", "Gamma"],
      ["Model-9002", "Beta", "Gamma"],
      [[9002], [9002], [9002]],
    ],
    [["Alpha"], ["Model-9000", "Alpha"], [[9001], [9001]]],
    [["Default"], ["Model-9000"], [[9000]]],
  ])("lists only its own to a key limited to %j", async (agents, expected, ports) => {
    const key = await newLegacyKey(agents);
    const entries = await list(edgeWith(fleetWith(key.line)), key.text);
    expect(ids(entries)).toEqual(expected);
    expect(entries.map(({ isha }) => isha["ports"])).toEqual(ports);
  });

  it.each([[["Alpha"]], [["Beta"]], [["Default"]], [["Alpha", "Gamma"]], [null]])(
    "lists only names that the key can call (%j)",
    async (agents) => {
      const key = await newLegacyKey(agents);
      const edge = edgeWith(fleetWith(key.line));
      const refused: string[] = [];
      for (const model of ids(await list(edge, key.text)))
        if ((await edge(CHAT, { key: key.text, body: chat({ model }) })).status !== 200) refused.push(model);
      expect(refused).toEqual([]);
    },
  );
});

describe("/v1/models/:id", () => {
  it.each([
    ["Model-9002", "Model-9002"],
    ["model-9002", "Model-9002"],
    ["model-9002.gguf", "Model-9002"],
    ["beta", "Beta"],
    ["Model%2D9000", "Model-9000"],
  ])("finds a model, a file or an agent type in any letter case: %s", async (name, id) => {
    const answer = await edgeWith(fleetWith())(`/v1/models/${name}`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ id, object: "model" });
  });

  it.each(["Nothing", "%E0%A4%A", "%00", "..%2f..%2fetc", "constructor"])(
    "is a 404 with the known names for anything else: %s",
    async (name) => {
      const answer = await edgeWith(fleetWith())(`/v1/models/${name}`);
      expect(answer.status).toBe(404);
      const error = await errorOf(answer);
      expect(error).toMatchObject({ code: "model_not_found", param: "id" });
      expect(error.message).toContain("Model-9002");
      expect(error.message).not.toContain("Nothing");
    },
  );

  it("is a 404 for a model that the key may not use", async () => {
    const key = await newLegacyKey(["Alpha"]);
    const answer = await edgeWith(fleetWith(key.line))("/v1/models/Model-9002", { key: key.text });
    expect(answer.status).toBe(404);
    expect((await errorOf(answer)).message).not.toContain("9002");
  });
});
