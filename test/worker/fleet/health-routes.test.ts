// The public health routes: whether the service can do its work.
import { describe, expect, it } from "vitest";
import { captureLog, edgeOf, errorOf } from "../support/edge.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { linkedAgent, readSnapshot } from "../support/agents.ts";
import { agentAnswer, connectionLost, fakeFetch, healthAnswer } from "../support/origin.ts";
import { reportingFleet, reportOf } from "../support/reports.ts";

const ALL_READY = { 9000: "ready", 9001: "ready", 9002: "ready" };

type Reported = Readonly<Record<string, Readonly<Record<number, string>> | "silent" | "drained">>;

/** @param boxes the state of each linked box's ports */
async function health(
  boxes: Reported,
  query = "",
  fleet = fleetOf(),
): Promise<{ status: number; body: Record<string, unknown> }> {
  captureLog();
  const reports = Object.entries(boxes).map(([name, states]) => {
    if (states === "silent") return { ...reportOf(name, {}), agents: [] };
    return states === "drained" ? { ...reportOf(name, ALL_READY), drained: true } : reportOf(name, states);
  });
  const FLEET = reportingFleet(reports);
  const answer = await edgeOf(fleet, { bindings: { FLEET } })(`/healthz${query}`, { key: null });
  return { status: answer.status, body: await answer.json<Record<string, unknown>>() };
}

describe("/healthz", () => {
  it("is ok if every box is linked and every model is ready", async () => {
    expect(await health({ north: ALL_READY })).toEqual({
      status: 200,
      body: {
        status: "ok",
        boxes: { north: "up" },
        models: { "Model-9000": "ready", "Model-9001": "ready", "Model-9002": "ready" },
      },
    });
  });

  it.each([
    ["loading", { ...ALL_READY, 9001: "loading" }, "loading"],
    ["down", { ...ALL_READY, 9001: "down" }, "down"],
    ["not announced", { 9000: "ready", 9002: "ready" }, "down"],
  ])("is degraded with status 200 if a model is %s", async (_, states, state) => {
    const { status, body } = await health({ north: states });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      models: { "Model-9000": "ready", "Model-9001": state },
    });
  });

  it("is degraded if one of two boxes is silent, even if the other serves everything", async () => {
    const { status, body } = await health({ north: "silent", south: ALL_READY }, "", twoBoxes());
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      boxes: { north: "unreachable", south: "up" },
      models: { "Model-9000": "ready", "Model-9001": "ready" },
    });
  });

  it("shows that a box drains, even if its servers are ready and the other box serves everything", async () => {
    const { status, body } = await health({ north: "drained", south: ALL_READY }, "", twoBoxes());
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      boxes: { north: "draining", south: "up" },
      models: { "Model-9000": "ready", "Model-9001": "ready" },
    });
  });

  it("is down with status 503 if every box is down or drained", async () => {
    const down = { 9000: "down", 9001: "down", 9002: "down" };
    const { status, body } = await health({ north: down, south: "drained" }, "", twoBoxes());
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "down", boxes: { north: "down", south: "draining" } });
    const drained = await health({ north: "drained" });
    expect(drained).toMatchObject({ status: 503, body: { status: "down", boxes: { north: "draining" } } });
  });

  it("is ok if a replica is down but its model isn't", async () => {
    const replicas = fleetOf({
      boxes: [box("north", [server(9000), server(9001, { model: "Model-9000", agents: ["Alpha"] })])],
    });
    const states = { 9000: "ready", 9001: "down" };
    expect((await health({ north: states }, "", replicas)).body).toMatchObject({ status: "ok" });
    expect((await health({ north: states }, "?require=Alpha", replicas)).status).toBe(200);
  });

  it("is marked if a box reports that it is simulated, over the link or when it is polled", async () => {
    captureLog();
    const agent = linkedAgent({
      ports: [9000],
      models: ["m"],
      snapshot: readSnapshot(1, { simulated: true }),
    });
    const FLEET = reportingFleet([{ ...reportOf("north", {}), agents: [agent] }]);
    const linked = await edgeOf(fleetOf(), { bindings: { FLEET } })("/healthz", { key: null });
    expect(await linked.json()).toMatchObject({ simulated: true });
    fakeFetch(() => agentAnswer("north", '{"box":"north","version":"1","simulated":true,"servers":[]}'));
    const polled = edgeOf(fleetOf(), { bindings: { FLEET: reportingFleet([]) } });
    expect(await (await polled("/healthz", { key: null })).json()).toMatchObject({ simulated: true });
  });

  it("is down if no model is ready", async () => {
    const states = { 9000: "down", 9001: "loading" };
    expect((await health({ north: states })).body).toMatchObject({ status: "down", boxes: { north: "up" } });
  });

  it("is down with status 503 if no box answers, whether or not it was ever linked", async () => {
    fakeFetch(connectionLost);
    const { status, body } = await health({ north: "silent" }, "", twoBoxes());
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "down", boxes: { north: "unreachable", south: "unreachable" } });
    expect(JSON.stringify(body)).not.toMatch(/lost|example/);
  });

  it("is what a box reports itself if it never linked", async () => {
    fakeFetch(() => healthAnswer("north", ALL_READY));
    expect(await health({})).toMatchObject({ status: 200, body: { status: "ok", boxes: { north: "up" } } });
  });
});

describe("/healthz?require", () => {
  const states = { 9000: "ready", 9001: "ready", 9002: "loading" };

  it.each(["Alpha", "alpha", " ALPHA ", "Default", "Alpha,default", "Alpha,Alpha"])(
    "has status 200 if the named agent types are served: '%s'",
    async (names) => {
      const { status, body } = await health({ north: states }, `?require=${encodeURIComponent(names)}`);
      expect(status).toBe(200);
      expect(body).not.toHaveProperty("missing");
    },
  );

  it.each([
    ["Beta", ["Beta"]],
    ["Alpha,beta", ["Beta"]],
    ["all", ["Beta"]],
    ["ALL", ["Beta"]],
  ])("has status 503 and names what isn't served: '%s'", async (names, missing) => {
    const { status, body } = await health({ north: states }, `?require=${names}`);
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "degraded", missing });
  });

  it("=all has status 200 if everything is served", async () => {
    expect((await health({ north: ALL_READY }, "?require=all")).status).toBe(200);
  });

  it("without a value requires nothing", async () => {
    expect((await health({ north: states }, "?require=")).status).toBe(200);
  });

  it.each(["Unknown", "Alpha,Unknown", ",", "Model-9001"])(
    "with an unknown name has status 400 and lists the known ones: '%s'",
    async (names) => {
      captureLog();
      fakeFetch(() => healthAnswer("north", ALL_READY));
      const answer = await edgeOf(fleetOf())(`/healthz?require=${names}`, { key: null });
      expect(answer.status).toBe(400);
      const error = await errorOf(answer);
      expect(error).toMatchObject({ code: "invalid_request", param: "require" });
      for (const name of ["Alpha", "Beta", "Default", "all"]) expect(error.message).toContain(name);
      expect(error.message).not.toContain("Unknown");
    },
  );
});

describe("/livez", () => {
  it("is answered by the edge alone, without a request to a box", async () => {
    const sent = fakeFetch(connectionLost);
    const answer = await edgeOf(fleetOf())("/livez", { key: null });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: "ok" });
    expect(sent).toEqual([]);
  });
});
