// The input of the alarm conditions: each box of the fleet file, described by its reporting agent.
import { describe, expect, it } from "vitest";
import type { BoxReport, LinkedAgent } from "../../../../worker/fleet/object/box-reports.ts";
import type { PortsByBox } from "../../../../shared/fleet.ts";
import { LINK_SILENT_MS } from "../../../../shared/limits.ts";
import type { Snapshot } from "../../../../shared/wire.ts";
import { watchedBoxes } from "../../../../worker/fleet/alarms/inputs.ts";
import { linkedAgent, linkServer, readSnapshot } from "../../support/agents.ts";

const NOW = 1_800_000_000_000;

const snapshotOf = (more: Readonly<Record<string, unknown>> = {}): Snapshot => readSnapshot(1, more);

const report = (agents: readonly LinkedAgent[], lastSeenAgoMs = 1_000): BoxReport => ({
  box: "north",
  lastSeenAgoMs,
  version: "1.2.3",
  drained: false,
  agents,
});

const watched = (agents: readonly LinkedAgent[], lastSeenAgoMs?: number) =>
  watchedBoxes(["north"], {}, [report(agents, lastSeenAgoMs)], NOW)[0];

const CARD = { name: "a card", memoryUsedGib: 1, memoryTotalGib: 24, utilizationPercent: 1, powerWatts: 1 };
const UNKNOWN = {
  reporting: false,
  servers: [],
  temperatureC: null,
  usageBehindMs: null,
  journal: "ok",
  calls: 0,
};

describe("the watched boxes", () => {
  it("are those of the fleet file, including one that never dialled and excluding one that it doesn't have", () => {
    const boxes = watchedBoxes(
      ["south", "north"],
      {},
      [report([linkedAgent()]), { ...report([]), box: "old" }],
      NOW,
    );
    expect(boxes.map(({ name, lastSeenAt }) => [name, lastSeenAt])).toEqual([
      ["south", null],
      ["north", NOW - 1_000],
    ]);
    expect(boxes[0]).toMatchObject(UNKNOWN);
  });

  it("have what their agent reported: servers with their models, the hottest card, the journal, the calls", () => {
    const snapshot = snapshotOf({
      servers: [linkServer(9000, { state: "down", why: "nothing listens", restarts: 3 }), linkServer(9009)],
      gpus: [
        { ...CARD, temperatureC: null },
        { ...CARD, temperatureC: 91 },
        { ...CARD, temperatureC: 60 },
      ],
      traffic: {
        windowS: 300,
        byAgent: { agents: [], calls: [], tokens: [] },
        calls: 40,
        failed: 7,
        fallbacks: 0,
        recoveries: 0,
      },
      journal: { state: "full", behindMs: 7_000 },
    });
    expect(watched([linkedAgent({ snapshot })])).toEqual({
      name: "north",
      lastSeenAt: NOW - 1_000,
      reporting: true,
      draining: false,
      drainedAt: null,
      servers: [
        { port: 9000, model: "Model-1", state: "down", why: "nothing listens", restarts: 3 },
        // It wasn't announced, so its model is unknown.
        { port: 9009, model: "", state: "ready", why: "", restarts: 0 },
      ],
      temperatureC: 91,
      usageBehindMs: 7_000,
      journal: "full",
      calls: 40,
      failed: 7,
    });
  });
});

describe("a server", () => {
  const snapshot = snapshotOf({ servers: [linkServer(9000), linkServer(9001, { state: "down" })] });
  const portsWatched = (ports: PortsByBox) =>
    watchedBoxes(
      ["north"],
      ports,
      [report([linkedAgent({ ports: [9000, 9001], snapshot })])],
      NOW,
    )[0]?.servers.map(({ port }) => port);

  it("that the edge's fleet file doesn't have isn't watched", () => {
    expect(portsWatched({ north: [9000, 9002], south: [9001] })).toEqual([9000]);
  });

  it("is watched if the edge hasn't sent the ports", () => {
    expect(portsWatched({})).toEqual([9000, 9001]);
  });
});

describe("nothing is known about the servers of a box", () => {
  it.each<[string, LinkedAgent[]]>([
    ["without a link", []],
    ["whose agent hasn't sent a snapshot yet", [linkedAgent({ snapshot: null, snapshotAgoMs: null })]],
    ["whose link is half open", [linkedAgent({ lastSeenAgoMs: LINK_SILENT_MS })]],
  ])("%s, except when it was last seen", (_, agents) => {
    expect(watched(agents, 45_000)).toMatchObject({ ...UNKNOWN, lastSeenAt: NOW - 45_000 });
  });
});

describe("of two agents during a reload", () => {
  const old = linkedAgent({
    epoch: "old",
    leaving: true,
    snapshot: snapshotOf({ draining: true, servers: [] }),
  });
  const young = linkedAgent({ epoch: "young" });

  it.each([
    ["the newer first", [young, old]],
    ["the older first", [old, young]],
  ])("the one that takes calls describes the box (%s), and the box isn't draining", (_, agents) => {
    expect(watched(agents)).toMatchObject({ draining: false, servers: [{ port: 9000 }] });
  });

  it("the calls of both count", () => {
    const traffic = {
      windowS: 300,
      byAgent: { agents: [], calls: [], tokens: [] },
      calls: 10,
      failed: 2,
      fallbacks: 0,
      recoveries: 0,
    };
    const agents = [
      linkedAgent({ snapshot: snapshotOf({ traffic }) }),
      { ...old, snapshot: snapshotOf({ traffic, draining: true }) },
    ];
    expect(watched(agents)).toMatchObject({ calls: 20, failed: 4 });
  });

  it("a box whose only agent shuts down, or is drained, is draining", () => {
    expect(watched([old])).toMatchObject({ draining: true });
    expect(watched([linkedAgent({ snapshot: snapshotOf({ draining: true }) })])).toMatchObject({
      draining: true,
    });
    expect(watched([linkedAgent({ leaving: true })])).toMatchObject({ draining: true });
    // Its agent hasn't received the command yet.
    const [drained] = watchedBoxes(["north"], {}, [{ ...report([linkedAgent()]), drained: true }], NOW);
    expect(drained).toMatchObject({ draining: true, servers: [{ state: "ready" }] });
  });
});
