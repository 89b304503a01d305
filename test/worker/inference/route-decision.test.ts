// Decisions on the shipped fleet file, which design section 2 describes.
import { describe, expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import type { RouteDecision, RoutingPermissions } from "../../../worker/inference/route-decision.ts";
import { decide } from "../../../worker/inference/route-decision.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { UNKNOWN_FLEET } from "../../../worker/fleet/snapshot.ts";
import { readCall } from "../../../worker/inference/model-call.ts";
import type { Refusal } from "../../../shared/errors.ts";
import { fleetOf, twoBoxes } from "../support/fleets.ts";
import { callOf } from "../support/calls.ts";

const ANY_KEY: RoutingPermissions = { agents: null, fallback: "auto" };
const shipped = indexFleet(fleet);

/** Reads a body as the edge does, and decides its route. */
function route(fields: object, permissions: RoutingPermissions = ANY_KEY, index = shipped): RouteDecision {
  const body = { messages: [{ role: "user", content: "hello" }], ...fields };
  const call = readCall("chat", new TextEncoder().encode(JSON.stringify(body)));
  if (!call.ok) throw new Error(call.refusal.message);
  const decided = decide(call.value, permissions, index, UNKNOWN_FLEET, 0);
  if (!decided.ok) throw new Error(decided.refusal.message);
  return decided.value;
}

function refusalOf(
  fields: Parameters<typeof callOf>[0],
  permissions: RoutingPermissions = ANY_KEY,
  index = shipped,
): Refusal {
  const decided = decide(callOf(fields), permissions, index, UNKNOWN_FLEET, 0);
  if (decided.ok) throw new Error("the call was not refused");
  return decided.refusal;
}

describe("each agent type of the fleet file is served by its own server", () => {
  it.each([
    ["MedicalQA", 8081],
    ["Chat", 8081],
    ["Scribe", 8082],
    ["Triage", 8082],
    ["Claims", 8084],
    ["Billing", 8084],
    ["Insurance", 8084],
    ["Clinical", 8085],
    ["AIDoctor", 8085],
  ])("%s by port %i, and counted under its name", (agent, port) => {
    for (const name of [agent, agent.toLowerCase(), agent.toUpperCase()]) {
      expect(route({ agent_type: name })).toMatchObject({ wantedPort: port, agentType: agent });
      expect(route({ model: name })).toMatchObject({ wantedPort: port, agentType: agent });
    }
  });
});

describe("the most exact name in the request decides", () => {
  it.each<[string, object, number, string]>([
    ["no name: the default", {}, 8080, "Default"],
    ["nulls: as if absent", { model_port: null, agent_type: null, model: null }, 8080, "Default"],
    ["an unknown agent type: the default", { agent_type: "Barber" }, 8080, "Default"],
    ["an empty agent type: the default", { agent_type: "" }, 8080, "Default"],
    ["the default's agent type", { agent_type: "default" }, 8080, "Default"],
    ["a port", { model_port: 8084 }, 8084, "Default"],
    ["a port in digits", { model_port: "8084" }, 8084, "Default"],
    ["a port before an agent type", { model_port: 8084, agent_type: "Clinical" }, 8084, "Clinical"],
    ["a port before a model", { model_port: 8084, model: "MedPalm2-8B" }, 8084, "Default"],
    ["an agent type before a model", { agent_type: "claims", model: "MedPalm2-8B" }, 8084, "Claims"],
    [
      "an unknown agent type before a known model",
      { agent_type: "x", model: "MedPalm2-8B" },
      8080,
      "Default",
    ],
    ["an agent type if the port is null", { model_port: null, agent_type: "Claims" }, 8084, "Claims"],
    ["a model if the agent type is null", { agent_type: null, model: "BiMediX2-8B" }, 8085, "Default"],
    ["a model id in another case", { model: "bimedix2-8b" }, 8085, "Default"],
    ["a model's file", { model: "openinsurancellm-llama3-8b.Q5_K_M.gguf" }, 8084, "Default"],
    ["a model's file in another case", { model: "BIMEDIX2-8B-HF.I1-Q6_K.GGUF" }, 8085, "Default"],
    ["a model with a replica: its first server", { model: "Qwen-0.6B" }, 8080, "Default"],
  ])("%s", (_, fields, wantedPort, agentType) => {
    expect(route(fields)).toMatchObject({ wantedPort, agentType });
  });

  it("an unknown port is refused with the known ports", () => {
    const refusal = refusalOf({ modelPort: 8083, agentType: "Clinical" });
    expect(refusal).toMatchObject({ code: "unknown_port", param: "model_port" });
    for (const port of [8080, 8081, 8082, 8084, 8085]) expect(refusal.message).toContain(String(port));
  });

  it("an unknown model is refused with the known models and agent types", () => {
    const refusal = refusalOf({ model: "gpt-4o" });
    expect(refusal).toMatchObject({ code: "model_not_found", param: "model" });
    for (const name of ["Qwen-0.6B", "MedPalm2-8B", "OpenInsurance-8B", "BiMediX2-8B", "Clinical", "Claims"])
      expect(refusal.message).toContain(name);
    expect(refusal.message).not.toContain("gpt-4o");
  });

  it("an unknown model goes to the default server if the fleet file sets that", () => {
    const lenient = indexFleet(fleetOf({ unknownModel: "default" }));
    expect(route({ model: "gpt-4o" }, ANY_KEY, lenient)).toMatchObject({
      wantedPort: 9000,
      agentType: "Default",
    });
  });
});

describe("the servers that may serve: replicas, then the model router, then the default", () => {
  it.each<[string, object, number[], number[]]>([
    ["the default", {}, [8080, 8082], [8081]],
    ["the default's port", { model_port: 8080 }, [8080], [8082, 8081]],
    ["the replica's agent type: home first", { agent_type: "Scribe" }, [8082, 8080], [8081]],
    ["the replica's port", { model_port: 8082 }, [8082], [8080, 8081]],
    ["a model on one server", { agent_type: "Clinical" }, [8085], [8081, 8080, 8082]],
    ["a port on one server", { model_port: 8085 }, [8085], [8081, 8080, 8082]],
    ["a model of the router", { agent_type: "Chat" }, [8081], [8080, 8082]],
  ])("%s", (_, fields, ports, fallbackPorts) => {
    expect(route(fields).boxes).toEqual([{ box: "box1", ports, fallbackPorts }]);
  });

  it("the default is the last one if the router doesn't name it", () => {
    const index = indexFleet(fleetOf({ modelRouter: [9002] }));
    expect(route({ agent_type: "Alpha" }, ANY_KEY, index).boxes).toEqual([
      { box: "north", ports: [9001], fallbackPorts: [9002, 9000] },
    ]);
  });
});

describe("the fallback policy: the strictest of key, agent type and request", () => {
  const SAME_MODEL: RoutingPermissions = { agents: null, fallback: "same-model" };
  const NONE: RoutingPermissions = { agents: null, fallback: "none" };

  it.each<[string, object, RoutingPermissions, number[], number[]]>([
    ["a key with the policy none keeps the model", { agent_type: "Clinical" }, NONE, [8085], []],
    ["and may use its replicas", { agent_type: "Scribe" }, NONE, [8082, 8080], []],
    ["and keeps a port to that port", { model_port: 8082 }, NONE, [8082], []],
    ["a key with the policy same-model keeps the model", { agent_type: "Clinical" }, SAME_MODEL, [8085], []],
    ["and moves a port to its replica", { model_port: 8082 }, SAME_MODEL, [8082], [8080]],
    ["a request without fallback stays", { agent_type: "Clinical", fallback: false }, ANY_KEY, [8085], []],
    ["and keeps a port to that port", { model_port: 8080, fallback: false }, ANY_KEY, [8080], []],
    ["a request can't widen its key's policy", { model_port: 8085, fallback: true }, NONE, [8085], []],
    ["null is absent", { model_port: 8085, fallback: null }, ANY_KEY, [8085], [8081, 8080, 8082]],
  ])("%s", (_, fields, permissions, ports, fallbackPorts) => {
    expect(route(fields, permissions).boxes).toEqual([{ box: "box1", ports, fallbackPorts }]);
  });

  it("an agent type's policy applies to that agent type only", () => {
    const index = indexFleet(
      fleetOf({ modelRouter: [9002], fallback: { Alpha: "none", Default: "same-model" } }),
    );
    const fallbacks = (fields: object): readonly number[] | undefined =>
      route(fields, ANY_KEY, index).boxes[0]?.fallbackPorts;
    expect(fallbacks({ agent_type: "alpha" })).toEqual([]);
    expect(fallbacks({ model: "ALPHA" })).toEqual([]);
    expect(fallbacks({ agent_type: "Beta" })).toEqual([9000]);
    expect(fallbacks({})).toEqual([]);
  });
});

describe("the answer's length", () => {
  it.each([
    ["the requested number", { max_tokens: 7 }, 7],
    ["the model's maximum by default", {}, 1024],
    ["the model's maximum if more was requested", { max_tokens: 999_999 }, 1024],
    ["the model's maximum if the number is negative", { max_tokens: -1 }, 1024],
    ["the maximum itself", { max_tokens: 1024 }, 1024],
  ])("is %s", (_, fields, maxTokens) => {
    expect(route(fields).maxTokens).toBe(maxTokens);
  });
});

describe("a decision has no side effects", () => {
  it("the same call gets the same decision again, on one box and on two", () => {
    for (const index of [shipped, indexFleet(twoBoxes({ modelRouter: [9000] }))]) {
      const call = callOf({ agentType: "Alpha" });
      const first = JSON.stringify(decide(call, ANY_KEY, index, UNKNOWN_FLEET, 0));
      expect(JSON.stringify(decide(call, ANY_KEY, index, UNKNOWN_FLEET, 0))).toBe(first);
    }
  });
});
