import { expect, it } from "vitest";
import { agentTypes, targetGroups, targetOf } from "../../../console/model/targets.ts";
import { FakeFleet } from "../support/fake-fleet.ts";

it("every agent type, port and model of the fleet is a target", () => {
  const view = new FakeFleet(Date.now).view();
  expect(agentTypes(view)[0]).toBe("Default");
  for (const { options } of targetGroups(view)) {
    for (const { value } of options) {
      const target = targetOf(value);
      expect(`${target.kind}:${target.kind === "port" ? target.port : target.name}`).toBe(value);
    }
  }
  expect(targetGroups(view).map(({ options }) => options.length)).toEqual([10, 5, 4]);
});
