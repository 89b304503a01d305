// Decisions with limits: keys limited to agent types, missing capabilities, several boxes.
import { describe, expect, it } from "vitest";
import type { Refusal } from "../../../shared/errors.ts";
import { ERRORS } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import type { BoxChoice } from "../../../worker/inference/box-order.ts";
import { decide, type RoutingPermissions } from "../../../worker/inference/route-decision.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { UNKNOWN_FLEET } from "../../../worker/fleet/snapshot.ts";
import type { ModelCall } from "../../../worker/inference/model-call.ts";
import { callOf } from "../support/calls.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { seeded } from "../support/random.ts";

const ANY_KEY: RoutingPermissions = { agents: null, fallback: "auto" };
const only = (...agents: string[]): RoutingPermissions => ({ agents, fallback: "auto" });

function boxesFor(fleet: FleetConfig, call: Partial<ModelCall>, permissions = ANY_KEY): readonly BoxChoice[] {
  const decided = decide(callOf(call), permissions, indexFleet(fleet), UNKNOWN_FLEET, 0);
  if (!decided.ok) throw new Error(decided.refusal.message);
  return decided.value.boxes;
}

function refusalOf(fleet: FleetConfig, call: Partial<ModelCall>, permissions = ANY_KEY): Refusal {
  const decided = decide(callOf(call), permissions, indexFleet(fleet), UNKNOWN_FLEET, 0);
  if (decided.ok) throw new Error("the call was not refused");
  return decided.refusal;
}

describe("a key limited to agent types", () => {
  const fleet = fleetOf({ modelRouter: [9002, 9001] });

  it("may use a server that lists one of them, whichever name the call uses", () => {
    for (const call of [{ agentType: "alpha" }, { modelPort: 9001 }, { model: "Model-9001" }])
      expect(boxesFor(fleet, call, only("Alpha"))[0]?.ports).toEqual([9001]);
  });

  it("may use no other server, whichever name the call uses", () => {
    const named = [{ agentType: "Beta" }, { modelPort: 9002 }, { model: "model-9002.gguf" }, {}];
    for (const call of [...named, { agentType: "unknown" }]) {
      const refusal = refusalOf(fleet, call, only("Alpha"));
      expect(refusal.code).toBe("agent_not_allowed");
      expect(refusal.message).toContain("Alpha");
    }
  });

  it("may use the default server if it lists Default", () => {
    expect(boxesFor(fleet, {}, only("Default"))[0]?.ports).toEqual([9000]);
    expect(refusalOf(fleet, { agentType: "Alpha" }, only("Default")).code).toBe("agent_not_allowed");
  });

  it("falls back only to servers of its agent types", () => {
    expect(boxesFor(fleet, { agentType: "Alpha" }, only("Alpha"))[0]?.fallbackPorts).toEqual([]);
    expect(boxesFor(fleet, { agentType: "Alpha" }, only("Alpha", "Default"))[0]?.fallbackPorts).toEqual([
      9000,
    ]);
    expect(boxesFor(fleet, { agentType: "Alpha" }, ANY_KEY)[0]?.fallbackPorts).toEqual([9002, 9000]);
  });

  it("uses only replicas of its agent types", () => {
    const replicas = fleetOf({
      boxes: [box("north", [server(9000), server(9001, { model: "Model-9000", agents: ["Alpha"] })])],
    });
    expect(boxesFor(replicas, { agentType: "Alpha" }, only("Alpha"))[0]?.ports).toEqual([9001]);
  });

  it("may name a model if it may use any replica of it", () => {
    const replicas = fleetOf({
      boxes: [box("north", [server(9000), server(9001, { model: "Model-9000", agents: ["Alpha"] })])],
    });
    expect(boxesFor(replicas, { model: "Model-9000" }, only("Alpha"))[0]?.ports).toEqual([9001]);
  });
});

describe("missing capabilities", () => {
  const vision = server(9001, { agents: ["Alpha"], capabilities: ["chat", "vision"] });
  const fleet = fleetOf({ modelRouter: [9002], boxes: [box("north", [server(9000), vision, server(9002)])] });
  const picture = {
    needs: [
      { capability: "chat", param: undefined },
      { capability: "vision", param: "messages[0].content[1]" },
    ],
  } as const;

  it("an image for a model without vision is a 400 with the part", () => {
    const refusal = refusalOf(fleet, picture);
    expect(refusal).toMatchObject({ code: "not_supported_by_model", param: "messages[0].content[1]" });
    expect(ERRORS[refusal.code].status).toBe(400);
    expect(refusal.message).toContain("Model-9000");
  });

  it("a model with vision takes the call, without a fallback to one that lacks it", () => {
    expect(boxesFor(fleet, { ...picture, agentType: "Alpha" })).toEqual([
      { box: "north", ports: [9001], fallbackPorts: [] },
    ]);
  });

  it("more choices than the server has slots are a 400 with n", () => {
    expect(boxesFor(fleet, { choices: 4 })[0]?.ports).toEqual([9000]);
    expect(refusalOf(fleet, { choices: 5 })).toMatchObject({ code: "invalid_request", param: "n" });
  });

  it("a call of several choices falls back only to servers with enough slots", () => {
    const small = fleetOf({
      modelRouter: [9002],
      boxes: [box("north", [server(9000), server(9001, { agents: ["Alpha"] }), server(9002, { slots: 1 })])],
    });
    expect(boxesFor(small, { agentType: "Alpha", choices: 2 })[0]?.fallbackPorts).toEqual([9000]);
  });
});

describe("several boxes", () => {
  it("all with the model are tried, in the fleet file's order", () => {
    expect(boxesFor(twoBoxes(), { agentType: "Alpha" }, { agents: null, fallback: "none" })).toEqual([
      { box: "north", ports: [9001], fallbackPorts: [] },
      { box: "south", ports: [9001], fallbackPorts: [] },
    ]);
  });

  it("another model comes after every box with the requested one", () => {
    expect(boxesFor(twoBoxes(), { agentType: "Alpha" })).toEqual([
      { box: "north", ports: [9001], fallbackPorts: [] },
      { box: "south", ports: [9001], fallbackPorts: [9000] },
      { box: "north", ports: [], fallbackPorts: [9000] },
    ]);
  });

  it("a replica on another box is preferred too if no port was named", () => {
    const fleet = fleetOf({
      boxes: [box("north", [server(9000)]), box("south", [server(9005, { model: "Model-9000" })])],
    });
    expect(boxesFor(fleet, {})).toEqual([
      { box: "north", ports: [9000], fallbackPorts: [] },
      { box: "south", ports: [9005], fallbackPorts: [] },
    ]);
  });

  it("a box without the model is tried last, for a fallback only", () => {
    const fleet = fleetOf({
      modelRouter: [9002],
      boxes: [
        box("north", [server(9000), server(9002)]),
        box("south", [server(9001, { agents: ["Alpha"] })]),
      ],
    });
    expect(boxesFor(fleet, { agentType: "Alpha" })).toEqual([
      { box: "south", ports: [9001], fallbackPorts: [] },
      { box: "north", ports: [], fallbackPorts: [9002, 9000] },
    ]);
  });

  it("for a named port, a replica on another box comes before another model", () => {
    const fleet = fleetOf({
      modelRouter: [9001],
      boxes: [
        box("north", [server(9000), server(9001)]),
        box("south", [server(9005, { model: "Model-9000" })]),
      ],
    });
    const order = portsInOrder(boxesFor(fleet, { modelPort: 9000 }));
    expect(order).toEqual(["north:9000", "south:9005", "north:9001"]);
  });

  it("in any fleet, no other model is tried before a server with the requested one", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const { fleet, modelOf } = randomFleet(seed);
      const random = seeded(seed + 1_000_000);
      const port = random.pick([...modelOf.keys()]);
      const call = random.chance(0.5) ? { modelPort: port } : { model: modelOf.get(port) ?? "" };
      const models = portsInOrder(boxesFor(fleet, call)).map((at) => modelOf.get(Number(at.split(":")[1])));
      const requested = modelOf.get(port);
      const firstOther = models.findIndex((model) => model !== requested);
      const lastSame = models.lastIndexOf(requested);
      expect(firstOther === -1 || lastSame < firstOther, `seed ${seed}: ${models.join(", ")}`).toBe(true);
    }
  });

  it("in any fleet, each port of a box is tried at most once, and exists", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const { fleet, modelOf } = randomFleet(seed);
      const port = seeded(seed).pick([...modelOf.keys()]);
      for (const call of [{ modelPort: port }, { model: modelOf.get(port) ?? "" }, {}]) {
        const order = portsInOrder(boxesFor(fleet, call));
        expect(new Set(order).size, `seed ${seed}: ${order.join(", ")}`).toBe(order.length);
        const all = fleet.boxes.flatMap((b) => b.servers.map((s) => `${b.name}:${s.port}`));
        expect(all, `seed ${seed}`).toEqual(expect.arrayContaining(order));
      }
    }
  });
});

/** `box:port` in the order in which they are tried. */
function portsInOrder(order: readonly BoxChoice[]): string[] {
  return order.flatMap(({ box, ports, fallbackPorts }) =>
    [...ports, ...fallbackPorts].map((port) => `${box}:${port}`),
  );
}

/** One to three boxes with some of six ports, of three models. */
function randomFleet(seed: number): { fleet: FleetConfig; modelOf: ReadonlyMap<number, string> } {
  const random = seeded(seed);
  const model = (port: number): string => `Model-${port % 3}`;
  const ports = [9000, 9001, 9002, 9003, 9004, 9005];
  const boxes = Array.from({ length: random.integer(1, 3) }, (_, at) => {
    const own = ports.filter((port) => (at === 0 && port === 9000) || random.chance(0.5));
    return box(
      `box${at}`,
      (own.length === 0 ? [9001] : own).map((port) => server(port, { model: model(port) })),
    );
  });
  const used = [...new Set(boxes.flatMap((one) => one.servers.map(({ port }) => port)))];
  const modelRouter = used.filter(() => random.chance(0.4));
  return {
    fleet: fleetOf({ boxes, modelRouter }),
    modelOf: new Map(used.map((port) => [port, model(port)])),
  };
}
