// The operators' view of the fleet: the fleet file's boxes and servers, with what their agents reported.
import { describe, expect, it } from "vitest";
import { FleetView } from "../../../shared/fleet-view.ts";
import type { BoxReport, FleetState, LinkedAgent } from "../../../worker/fleet/object/box-reports.ts";
import { gpuMemoryGib } from "../../../shared/gpu-memory.ts";
import { LINK_SILENT_MS } from "../../../shared/limits.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { fleetView, hasChanged } from "../../../worker/fleet/view.ts";
import { linkedAgent, linkServer, readSnapshot } from "../support/agents.ts";
import { fleetOf, twoBoxes } from "../support/fleets.ts";

const NOW = 1_800_000_000_000;

function snapshotOf(more: Readonly<Record<string, unknown>> = {}): Snapshot {
  return readSnapshot(1, { servers: [linkServer(9000), linkServer(9001), linkServer(9002)], ...more });
}

function agent(more: Partial<LinkedAgent> = {}): LinkedAgent {
  return linkedAgent({ ports: [9000, 9001, 9002], models: [], snapshot: snapshotOf(), ...more });
}

const report = (agents: readonly LinkedAgent[], lastSeenAgoMs = 1_000, box = "north"): BoxReport => ({
  box,
  lastSeenAgoMs,
  version: "1.2.3",
  drained: false,
  agents,
});

const stateOf = (reports: readonly BoxReport[], more: Partial<FleetState> = {}): FleetState => ({
  reports,
  since: {},
  events: [],
  alarms: [],
  failures: [],
  byCode: [],
  ...more,
});

/** Parsed by the contract's schema, as a console does. */
const viewOf = (
  reports: readonly BoxReport[],
  more: Partial<FleetState> = {},
  fleet = fleetOf(),
  now = NOW,
) => FleetView.parse(fleetView(stateOf(reports, more), indexFleet(fleet), now));

const UNKNOWN = {
  state: "unknown",
  since: null,
  busy: 0,
  waiting: 0,
  waitMs: null,
  tokensPerSecond: null,
  firstTokenP50Ms: null,
  gpuGib: null,
  restarts: null,
};

describe("a box", () => {
  it("that reports is shown with its own figures, and with budget and agent types from the fleet file", () => {
    const card = {
      name: "a card",
      memoryUsedGib: 7,
      memoryTotalGib: 80,
      utilizationPercent: 60,
      temperatureC: 71,
      powerWatts: 240,
    };
    const snapshot = snapshotOf({ gpus: [card], journal: { state: "ok", behindMs: 250 } });
    const fleet = fleetOf();
    const view = viewOf([report([agent({ snapshot })])], { since: { north: { 9000: NOW - 5_000 } } }, fleet);
    const [box] = view.boxes;
    expect(box).toMatchObject({
      name: "north",
      gpu: "a card",
      vramGib: 80,
      state: "up",
      lastSeenAt: NOW - 1_000,
      version: "1.2.3",
      agents: 1,
      warning: null,
      gpus: [card],
      usageBehindMs: 250,
    });
    const [server] = fleet.boxes[0]?.servers ?? [];
    if (server === undefined) throw new Error("no server");
    expect(box?.servers[0]).toEqual({
      port: 9000,
      pm2: "llama-9000",
      model: "Model-9000",
      agents: ["Default"],
      state: "ready",
      why: "",
      since: NOW - 5_000,
      slots: 2,
      busy: 1,
      waiting: 0,
      places: 32,
      waitMs: 0,
      tokensPerSecond: 31.5,
      firstTokenP50Ms: 120,
      firstTokenP95Ms: 480,
      gpuGib: 6.25,
      budgetGib: Number(gpuMemoryGib(server).total.toFixed(2)),
      restarts: 0,
    });
    expect(box?.servers[1]).toMatchObject({ agents: ["Alpha"], since: null });
  });

  it("is marked as simulated if its agent reports it", () => {
    const simulated = agent({ snapshot: snapshotOf({ simulated: true }) });
    expect(viewOf([report([simulated])]).boxes[0]?.simulated).toBe(true);
    expect(viewOf([report([agent()])]).boxes[0]?.simulated).toBe(false);
    const [silent] = viewOf([report([{ ...simulated, lastSeenAgoMs: LINK_SILENT_MS }])]).boxes;
    expect(silent).toMatchObject({ state: "silent", simulated: true });
  });

  it("that never reported is silent, with all servers of the fleet file and no invented figure", () => {
    const [box] = viewOf([]).boxes;
    expect(box).toMatchObject({ state: "silent", lastSeenAt: null, version: null, agents: 0, gpus: null });
    expect(box?.servers).toHaveLength(3);
    for (const server of box?.servers ?? []) expect(server).toMatchObject({ ...UNKNOWN, why: "", slots: 4 });
  });

  it.each<[string, LinkedAgent[]]>([
    ["whose link is gone", []],
    ["whose link is half open", [agent({ lastSeenAgoMs: LINK_SILENT_MS })]],
    ["whose agent has only sent its hello", [agent({ snapshot: null, snapshotAgoMs: null })]],
  ])("%s is silent, with the time it was last seen and without its last figures", (_, agents) => {
    const [box] = viewOf([report(agents, 40_000)]).boxes;
    expect(box).toMatchObject({ state: "silent", lastSeenAt: NOW - 40_000, version: "1.2.3", gpus: null });
    for (const server of box?.servers ?? []) expect(server).toMatchObject(UNKNOWN);
  });

  it.each<[string, Partial<LinkedAgent>]>([
    ["that an operator drained", { snapshot: snapshotOf({ draining: true }) }],
    ["whose only agent shuts down", { leaving: true }],
  ])("%s is draining", (_, more) => {
    expect(viewOf([report([agent(more)])]).boxes[0]).toMatchObject({ state: "draining" });
  });

  it("that an operator drained is draining before its agent has received the command", () => {
    const drained = { ...report([agent()]), drained: true };
    expect(viewOf([drained]).boxes[0]).toMatchObject({ state: "draining" });
  });

  it("with two agents during a reload is up, described by the one that takes calls", () => {
    const old = agent({ epoch: "old", leaving: true, snapshot: snapshotOf({ draining: true, servers: [] }) });
    for (const agents of [
      [agent(), old],
      [old, agent()],
    ]) {
      const [box] = viewOf([report(agents)]).boxes;
      expect(box).toMatchObject({ state: "up", agents: 2, servers: [{ state: "ready" }, {}, {}] });
    }
  });

  it("outside the fleet file isn't shown", () => {
    expect(viewOf([report([agent()], 0, "old")]).boxes.map(({ name, state }) => [name, state])).toEqual([
      ["north", "silent"],
    ]);
  });

  it("comes in the fleet file's order", () => {
    const view = viewOf([report([agent({ ports: [9000] })], 0, "south")], {}, twoBoxes());
    expect(view.boxes.map(({ name, state }) => [name, state])).toEqual([
      ["north", "silent"],
      ["south", "up"],
    ]);
  });
});

describe("a server", () => {
  it("that its agent didn't announce is unknown with a reason, whatever else is stored for its port", () => {
    const [box] = viewOf([report([agent({ ports: [9000] })])], { since: { north: { 9001: NOW } } }).boxes;
    expect(box?.servers.map(({ state }) => state)).toEqual(["ready", "unknown", "unknown"]);
    expect(box?.servers[1]).toMatchObject({
      ...UNKNOWN,
      why: "the agent's fleet file doesn't have this server",
    });
  });

  it("that only the agent has isn't shown", () => {
    const servers = [linkServer(9000), linkServer(9999)];
    const [box] = viewOf([report([agent({ ports: [9000, 9999], snapshot: snapshotOf({ servers }) })])]).boxes;
    expect(box?.servers.map(({ port }) => port)).toEqual([9000, 9001, 9002]);
  });
});

describe("traffic", () => {
  const columns = (rows: Readonly<Record<string, readonly [number, number]>>) => ({
    agents: Object.keys(rows),
    calls: Object.values(rows).map(([calls]) => calls),
    tokens: Object.values(rows).map(([, tokens]) => tokens),
  });
  const traffic = (
    calls: number,
    byAgent: Readonly<Record<string, readonly [calls: number, tokens: number]>>,
  ) =>
    snapshotOf({
      traffic: { windowS: 300, byAgent: columns(byAgent), calls, failed: 1, fallbacks: 2, recoveries: 3 },
    });

  it("is the sum over all boxes and agents, the busiest agent type first", () => {
    const one = traffic(5, { Alpha: [5, 50] });
    const two = traffic(9, { Beta: [8, 8], Alpha: [1, 1] });
    const reports = [
      report([agent({ snapshot: one }), agent({ epoch: "old", leaving: true, snapshot: one })]),
      report([agent({ snapshot: two })], 0, "south"),
    ];
    expect(viewOf(reports, { byCode: [{ code: "overloaded", count: 4 }] }, twoBoxes()).traffic).toMatchObject(
      {
        windowS: 300,
        byAgent: [
          { agent: "Alpha", calls: 11, tokens: 101 },
          { agent: "Beta", calls: 8, tokens: 8 },
        ],
        byCode: [{ code: "overloaded", count: 4 }],
        fallbacks: 6,
        recoveries: 9,
      },
    );
  });

  it("of a silent agent doesn't count", () => {
    const snapshot = traffic(5, { Alpha: [5, 50] });
    expect(viewOf([report([agent({ snapshot, lastSeenAgoMs: LINK_SILENT_MS })])]).traffic).toMatchObject({
      windowS: 0,
      byAgent: [],
      byCode: [],
      fallbacks: 0,
      recoveries: 0,
    });
  });
});

describe("a traffic window", () => {
  const window = (more: object) => ({
    windowS: 300,
    coveredS: 300,
    agents: ["Alpha"],
    calls: [3],
    ours: [1],
    callers: [0],
    p50Ms: [800],
    p95Ms: [900],
    firstP50Ms: [null],
    firstP95Ms: [null],
    ...more,
  });
  const reporting = (windows: readonly object[] | undefined) =>
    agent({
      snapshot: snapshotOf({
        traffic: { ...snapshotOf().traffic, ...(windows === undefined ? {} : { windows }) },
      }),
    });

  it("adds the boxes' calls up, and has the slowest box's latencies", () => {
    const other = window({
      coveredS: 20,
      agents: ["Alpha", "Beta"],
      calls: [1, 9],
      ours: [0, 0],
      callers: [1, 2],
    });
    const south = {
      ...other,
      p50Ms: [1_200, null],
      p95Ms: [850, null],
      firstP50Ms: [90, 5],
      firstP95Ms: [null, 5],
    };
    const view = viewOf(
      [report([reporting([window({})])]), report([reporting([south])], 0, "south")],
      { byCode: [{ code: "overloaded", count: 1 }] },
      twoBoxes(),
    );
    expect(view.traffic.windows?.[0]).toEqual({
      windowS: 300,
      coveredS: 300,
      byAgent: [
        {
          agent: "Beta",
          calls: 9,
          ours: 0,
          callers: 2,
          p50Ms: null,
          p95Ms: null,
          firstP50Ms: 5,
          firstP95Ms: 5,
        },
        {
          agent: "Alpha",
          calls: 4,
          ours: 1,
          callers: 1,
          p50Ms: 1_200,
          p95Ms: 900,
          firstP50Ms: 90,
          firstP95Ms: null,
        },
      ],
      byCode: [{ code: "overloaded", count: 1 }],
    });
  });

  it.each([
    ["no agent is linked", []],
    ["the agent is of an earlier release", [report([reporting(undefined)])]],
  ])("has unknown calls, not none, if %s", (_, reports) => {
    const windows = viewOf(reports).traffic.windows;
    expect(windows?.map(({ byAgent }) => byAgent)).toEqual([null, null]);
  });

  it("of an hour has the codes of the groups", () => {
    const groups = [
      { code: "invalid_request", key: "a", count: 5, lastAt: NOW },
      { code: "overloaded", key: "a", count: 4, lastAt: NOW },
      { code: "invalid_request", key: "b", count: 2, lastAt: NOW },
    ];
    expect(viewOf([], { groups }).traffic.windows?.[1]?.byCode).toEqual([
      { code: "invalid_request", count: 7 },
      { code: "overloaded", count: 4 },
    ]);
  });
});

it("failures include ours that many of the callers' followed, newest first", () => {
  const failure = (requestId: string, at: number, code: string) => ({
    requestId,
    at,
    code,
    route: "/",
    key: null,
    cause: null,
  });
  const newest = failure("req_2", NOW, "invalid_request");
  const ours = failure("req_1", NOW - 5_000, "internal");
  expect(viewOf([], { failures: [newest], ours: [ours] }).failures).toEqual([newest, ours]);
});

describe("a change for a console", () => {
  const view = viewOf([report([agent()])]);
  /** The same fleet, viewed later and last seen the given time before. */
  const later = (ms: number, lastSeenAgoMs: number) =>
    viewOf([report([agent()], lastSeenAgoMs)], {}, fleetOf(), NOW + ms);

  it("isn't the time of the view, nor the jitter of two clocks and the network", () => {
    expect(hasChanged(view, later(500, 1_500))).toBe(false);
    for (const jitterMs of [-40, -1, 1, 40])
      expect(hasChanged(view, later(500, 1_500 + jitterMs))).toBe(false);
  });

  it("is a later time at which a box was seen, from a few seconds on", () => {
    expect(hasChanged(view, later(10_000, 200))).toBe(true);
    expect(hasChanged(viewOf([]), view)).toBe(true);
  });

  it.each<[string, readonly BoxReport[], Partial<FleetState>]>([
    [
      "a server's state",
      [report([agent({ snapshot: snapshotOf({ servers: [linkServer(9000, { state: "down" })] }) })])],
      {},
    ],
    [
      "a figure",
      [report([agent({ snapshot: snapshotOf({ servers: [linkServer(9000, { busy: 2 })] }) })])],
      {},
    ],
    ["a box that falls silent", [report([], 31_000)], {}],
    [
      "an event",
      [report([agent()])],
      { events: [{ id: 1, at: NOW, box: "north", port: null, level: "info", text: "x" }] },
    ],
    ["an alarm", [report([agent()])], { alarms: [{ id: "heat:north", since: NOW, text: "x", advice: "y" }] }],
  ])("is %s", (_, reports, more) => {
    expect(hasChanged(view, viewOf(reports, more))).toBe(true);
  });
});
