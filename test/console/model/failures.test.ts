// The list of failures: ours one by one, the callers' in groups, and both filtered.
import { describe, expect, it } from "vitest";
import { agentChoices, NO_AGENT, NO_KEY, shownFailures, shortId } from "../../../console/model/failures.ts";
import { busyFleet } from "../support/scenes.ts";

const view = busyFleet(() => Date.UTC(2026, 10, 23, 3, 0, 0)).view();
const ALL = { side: "", code: "", key: "", agent: "" } as const;
const summary = (filter: Partial<Parameters<typeof shownFailures>[1]>) => {
  const { ours, groups, callers } = shownFailures(view, { ...ALL, ...filter });
  return {
    ours: ours.map(({ code }) => code),
    groups: groups?.map(({ code, key }) => [code, key]) ?? null,
    callers: callers.map(({ code }) => code),
  };
};

describe("the failures shown", () => {
  it("are ours one by one and the callers' by code and key", () => {
    expect(summary({})).toEqual({
      ours: ["overloaded", "upstream_failed"],
      groups: [
        ["rate_limited_key", "legacy_0a1b2c3d4e5f6071"],
        ["invalid_request", "Rt5vWx7yZ9"],
        ["invalid_request", null],
      ],
      callers: [],
    });
  });

  it("can be limited to one side, a code or a key; a chosen group is shown one by one", () => {
    expect(summary({ side: "ours" })).toMatchObject({ groups: [], ours: ["overloaded", "upstream_failed"] });
    expect(summary({ side: "callers" })).toMatchObject({ ours: [], groups: { length: 3 } });
    expect(summary({ code: "invalid_request", key: "Rt5vWx7yZ9" })).toEqual({
      ours: [],
      groups: [["invalid_request", "Rt5vWx7yZ9"]],
      callers: ["invalid_request"],
    });
    expect(summary({ key: NO_KEY }).groups).toEqual([["invalid_request", null]]);
  });

  it("can be limited to an agent type, or to those without a known one: one by one, since the counts have none", () => {
    expect(summary({ agent: "Clinical" })).toEqual({ ours: ["overloaded"], groups: null, callers: [] });
    const unknown = { ours: [], groups: null, callers: ["invalid_request", "rate_limited_key"] };
    expect(summary({ agent: NO_AGENT })).toEqual(unknown);
    const older = view.failures.map(({ agentType: _none, ...failure }) => failure);
    expect(shownFailures({ ...view, failures: older }, { ...ALL, agent: NO_AGENT }).callers).toHaveLength(2);
    expect(summary({ agent: "Clinical", code: "upstream_failed" }).ours).toEqual([]);
  });

  it("offer the fleet's agent types, those of the failures and the linked one", () => {
    const [failure] = view.failures;
    if (failure === undefined) throw new Error("the scene has failures");
    const failures = [{ ...failure, agentType: "Removed" }];
    const choices = Object.keys(agentChoices({ ...view, failures }, "Linked"));
    expect(choices).toEqual(expect.arrayContaining(["Default", "Clinical", "Removed", "Linked"]));
    expect([choices[0], choices.at(-1)]).toEqual(["", NO_AGENT]);
    expect(new Set(choices).size).toBe(choices.length);
  });

  it("of an edge of an earlier release are grouped here", () => {
    const { failureGroups: _none, ...older } = view;
    expect(shownFailures(older, ALL).groups?.map(({ code, count }) => [code, count])).toEqual([
      ["invalid_request", 1],
      ["rate_limited_key", 1],
    ]);
  });
});

it("a long id is shortened, a short one isn't", () => {
  expect(shortId("req_0123456789abcdef0123456789abcdef")).toBe("req_01234567…");
  expect(shortId("req_1")).toBe("req_1");
});
