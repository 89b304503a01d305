import { expect, it } from "vitest";
import {
  agentTypes,
  linkedTarget,
  targetGroups,
  targetOf,
  targetValue,
} from "../../../console/model/targets.ts";
import { FakeFleet } from "../support/fake-fleet.ts";

it("every agent type, port and model of the fleet is a target", () => {
  const view = new FakeFleet(Date.now).view();
  expect(agentTypes(view)[0]).toBe("Default");
  for (const { options } of targetGroups(view)) {
    for (const { value } of options) {
      expect(targetValue(targetOf(value))).toBe(value);
      expect(linkedTarget(value, view)).toEqual(targetOf(value));
    }
  }
  expect(targetGroups(view).map(({ options }) => options.length)).toEqual([10, 5, 4]);
});

it.each(["", "port:1", "model:<b>", "agent:toString", "nonsense"])(
  "a link to %j opens the default",
  (value) => {
    const view = new FakeFleet(Date.now).view();
    expect(linkedTarget(value, view)).toEqual({ kind: "agent", name: "Default" });
  },
);
