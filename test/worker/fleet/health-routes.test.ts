// Whether the service can do its work, told to anyone.
import { describe, expect, it } from "vitest";
import { captureLog, edgeOf, errorOf } from "../support/edge.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { boxOf, connectionLost, healthAnswer, standIn } from "../support/origin.ts";

const ALL_READY = { 9000: "ready", 9001: "ready", 9002: "ready" };

async function health(
  fleet = fleetOf(),
  query = "",
): Promise<{ status: number; body: Record<string, unknown> }> {
  captureLog();
  const answer = await edgeOf(fleet)(`/healthz${query}`, { key: null });
  return { status: answer.status, body: await answer.json<Record<string, unknown>>() };
}

describe("/healthz", () => {
  it("is ok where every box answers and every model is ready", async () => {
    standIn(() => healthAnswer("north", ALL_READY));
    expect(await health()).toEqual({
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
  ])("is degraded, and a 200, where a model is %s", async (_, states, told) => {
    standIn(() => healthAnswer("north", states));
    const { status, body } = await health();
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: "degraded", models: { "Model-9000": "ready", "Model-9001": told } });
  });

  it("is degraded where one of two boxes is gone, though the other serves everything", async () => {
    standIn((one) => (boxOf(one) === "north" ? connectionLost() : healthAnswer("south", ALL_READY)));
    const { status, body } = await health(twoBoxes());
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      boxes: { north: "unreachable", south: "up" },
      models: { "Model-9000": "ready", "Model-9001": "ready" },
    });
  });

  it("says that a drained box isn't up, though its agent answers and the other box serves everything", async () => {
    const drained = { 9000: "down", 9001: "down", 9002: "down" };
    standIn((one) => healthAnswer(boxOf(one), boxOf(one) === "north" ? drained : ALL_READY));
    const { status, body } = await health(twoBoxes());
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      boxes: { north: "down", south: "up" },
      models: { "Model-9000": "ready", "Model-9001": "ready" },
    });
  });

  it("says of a drained box that is the only one that nothing is served", async () => {
    standIn(() => healthAnswer("north", { 9000: "down", 9001: "down", 9002: "down" }));
    const { status, body } = await health(fleetOf(), "?require=all");
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "down", boxes: { north: "down" } });
  });

  it("is ok where a replica is down: its model isn't", async () => {
    const replicas = fleetOf({
      boxes: [box("north", [server(9000), server(9001, { model: "Model-9000", agents: ["Alpha"] })])],
    });
    standIn(() => healthAnswer("north", { 9000: "ready", 9001: "down" }));
    expect((await health(replicas)).body).toMatchObject({ status: "ok" });
    expect((await health(replicas, "?require=Alpha")).status).toBe(200);
  });

  it("is down where no model is ready", async () => {
    standIn(() => healthAnswer("north", { 9000: "down", 9001: "loading" }));
    expect((await health()).body).toMatchObject({ status: "down", boxes: { north: "up" } });
  });

  it("is down, and a 503, where no box answers", async () => {
    standIn(connectionLost);
    const { status, body } = await health(twoBoxes());
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "down", boxes: { north: "unreachable", south: "unreachable" } });
    expect(JSON.stringify(body)).not.toMatch(/lost|example/);
  });

  it("asks the boxes once for many who look", async () => {
    captureLog();
    const sent = standIn(() => healthAnswer("north", ALL_READY));
    const edge = edgeOf(fleetOf());
    for (let look = 0; look < 5; look += 1) await edge("/healthz");
    await edge("/v1/models");
    expect(sent.length).toBe(1);
  });
});

describe("/healthz?require", () => {
  const states = { 9000: "ready", 9001: "ready", 9002: "loading" };

  it.each(["Alpha", "alpha", " ALPHA ", "Default", "Alpha,default", "Alpha,Alpha"])(
    "is a 200 where what it names is served: '%s'",
    async (names) => {
      standIn(() => healthAnswer("north", states));
      const { status, body } = await health(fleetOf(), `?require=${encodeURIComponent(names)}`);
      expect(status).toBe(200);
      expect(body).not.toHaveProperty("missing");
    },
  );

  it.each([
    ["Beta", ["Beta"]],
    ["Alpha,beta", ["Beta"]],
    ["all", ["Beta"]],
    ["ALL", ["Beta"]],
  ])("is a 503 that says what isn't served: '%s'", async (names, missing) => {
    standIn(() => healthAnswer("north", states));
    const { status, body } = await health(fleetOf(), `?require=${names}`);
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "degraded", missing });
  });

  it("of everything is a 200 where everything is served", async () => {
    standIn(() => healthAnswer("north", ALL_READY));
    expect((await health(fleetOf(), "?require=all")).status).toBe(200);
  });

  it("of nothing is no question", async () => {
    standIn(() => healthAnswer("north", states));
    expect((await health(fleetOf(), "?require=")).status).toBe(200);
  });

  it.each(["Nobody", "Alpha,Nobody", ",", "Model-9001"])(
    "is a 400 that lists those there are where it names another: '%s'",
    async (names) => {
      captureLog();
      standIn(() => healthAnswer("north", ALL_READY));
      const answer = await edgeOf(fleetOf())(`/healthz?require=${names}`, { key: null });
      expect(answer.status).toBe(400);
      const error = await errorOf(answer);
      expect(error).toMatchObject({ code: "invalid_request", param: "require" });
      for (const name of ["Alpha", "Beta", "Default", "all"]) expect(error.message).toContain(name);
      expect(error.message).not.toContain("Nobody");
    },
  );
});

describe("/livez", () => {
  it("is the edge alone: it asks nobody", async () => {
    const sent = standIn(connectionLost);
    const answer = await edgeOf(fleetOf())("/livez", { key: null });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: "ok" });
    expect(sent).toEqual([]);
  });
});
