// Rates and error shares of the traffic: by fault, by agent type, and unknown instead of 0.
import { describe, expect, it } from "vitest";
import {
  agentRows,
  codeRows,
  isOurs,
  totalsOf,
  windowOf,
  windowText,
} from "../../../console/model/traffic.ts";
import { FakeFleet } from "../support/fake-fleet.ts";
import { busyFleet } from "../support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;
const window = windowOf(busyFleet(clock).traffic, "300");

describe("the traffic of a window", () => {
  it("has rates over the time that it covers, and error shares by fault", () => {
    expect(totalsOf(window, "")).toEqual({
      calls: 933,
      perSecond: 933 / 300,
      ours: { share: 5 / 933, count: 5 },
      callers: { share: 43 / 933, count: 43 },
      refusedAtEdge: 0,
    });
  });

  it("counts requests that the edge refused, which reach no box", () => {
    const refusing = window === null ? null : { ...window, byCode: [{ code: "no_box", count: 933 + 48 }] };
    expect(totalsOf(refusing, "")).toMatchObject({
      ours: { share: 981 / (933 + 933) },
      refusedAtEdge: 933,
    });
  });

  it("of one agent type is what the boxes counted of it", () => {
    expect(totalsOf(window, "Clinical")).toEqual({
      calls: 412,
      perSecond: 412 / 300,
      ours: { share: 3 / 412, count: 3 },
      callers: { share: 20 / 412, count: 20 },
      refusedAtEdge: null,
    });
    expect(totalsOf(window, "Nobody").ours.share).toBeNull();
  });

  it("has the busiest agent type first, with its share of the bar", () => {
    expect(agentRows(window)?.map(({ agent, share }) => [agent, Math.round(share * 100)])).toEqual([
      ["Clinical", 100],
      ["Claims", 70],
      ["Default", 34],
      ["MedicalQA", 17],
      ["Scribe", 5],
    ]);
  });

  it("is unknown, not 0, if no agent reports or the edge is of an earlier release", () => {
    const silent = window === null ? null : { ...window, byAgent: null, coveredS: 0, byCode: [] };
    for (const unknown of [silent, windowOf(new FakeFleet(clock).traffic, "300")]) {
      expect(totalsOf(unknown, "")).toMatchObject({ calls: null, perSecond: null, ours: { share: null } });
      expect(agentRows(unknown)).toBeNull();
      expect(windowText(unknown)).toBe("No agent reports its traffic");
    }
  });

  it("of agents that have just started states the time that it covers, and never 0 s", () => {
    const young = window === null ? null : { ...window, coveredS: 40 };
    expect(windowText(young)).toBe("the last 40 s, since the agents started");
    expect(totalsOf(young, "").perSecond).toBe(933 / 40);
    const newborn = window === null ? null : { ...window, coveredS: 0, byAgent: [] };
    expect(windowText(newborn)).toBe("The agents have just started");
    expect(totalsOf(newborn, "").perSecond).toBeNull();
  });
});

it("codes are classed by their fault: ours first, each the most frequent first", () => {
  expect(codeRows(window).map(({ code, ours }) => [code, ours])).toEqual([
    ["overloaded", true],
    ["upstream_failed", true],
    ["rate_limited_key", false],
    ["invalid_request", false],
  ]);
  expect(isOurs("a_future_code")).toBe(true);
});
