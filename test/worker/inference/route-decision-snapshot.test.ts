// Decisions with a fleet snapshot: two equal boxes, `north` before `south` in the fleet file.
import { describe, expect, it } from "vitest";
import type { LinkState } from "../../../shared/wire.ts";
import { decide } from "../../../worker/inference/route-decision.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { UNKNOWN_FLEET, type BoxSnapshot, type FleetSnapshot } from "../../../worker/fleet/snapshot.ts";
import { callOf } from "../support/calls.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { seeded } from "../support/random.ts";

const ANY_KEY = { agents: null, fallback: "auto" } as const;
const ALPHA = callOf({ agentType: "Alpha" });
const fleet = indexFleet(twoBoxes());

interface Reported {
  readonly state?: LinkState;
  readonly free?: number;
  readonly places?: number;
  readonly waitMs?: number | null;
  readonly sent?: number;
  readonly current?: boolean;
}

/** A box with the same state for both servers, or one that drains. */
function boxWith(report: Reported | "draining"): BoxSnapshot {
  const {
    state = "ready",
    free = 4,
    places = 64,
    waitMs = 0,
    sent = 0,
    current = true,
  } = report === "draining" ? {} : report;
  const each = { state, free, places, waitMs, sent };
  return {
    draining: report === "draining",
    current,
    servers: new Map([9000, 9001].map((port) => [port, each])),
  };
}

function snapshotOf(boxes: Readonly<Record<string, Reported | "draining">>, fresh = true): FleetSnapshot {
  return { boxes: new Map(Object.entries(boxes).map(([name, report]) => [name, boxWith(report)])), fresh };
}

const FULL: Reported = { free: 0, places: 0, waitMs: 9_000 };

function boxesTried(snapshot: FleetSnapshot, random = 0, call = ALPHA, index = fleet): string[] {
  const decided = decide(call, ANY_KEY, index, snapshot, random);
  if (!decided.ok) throw new Error(decided.refusal.code);
  return decided.value.boxes.map((choice) => choice.box);
}

function refusal(snapshot: FleetSnapshot, call = ALPHA) {
  const decided = decide(call, ANY_KEY, fleet, snapshot, 0);
  return decided.ok ? null : decided.refusal;
}

describe("the first box", () => {
  it.each<[string, Record<string, Reported | "draining">, string]>([
    ["is the one with a free slot, not the one with a queue", { north: { free: 0 }, south: {} }, "south"],
    ["is the one with more room", { north: { free: 1 }, south: { free: 3 } }, "south"],
    [
      "is the one with more room, less the calls sent since",
      { north: { sent: 2 }, south: { sent: 1 } },
      "south",
    ],
    [
      "is one that may be free, not one that was filled since the snapshot",
      { north: { sent: 4 }, south: {} },
      "south",
    ],
    ["is the one with a queue, not the full one", { north: FULL, south: { free: 0 } }, "south"],
    ["is one that queues, not one that is slow", { north: { state: "slow" }, south: { free: 0 } }, "south"],
    ["is a slow one, not an unknown one", { south: { state: "slow" } }, "south"],
    ["is an unknown one, not one that loads", { north: { state: "loading" } }, "south"],
    [
      "is one that loads, not one that is down",
      { north: { state: "down" }, south: { state: "loading" } },
      "south",
    ],
    ["is one that loads, not a full one", { north: FULL, south: { state: "loading" } }, "south"],
    ["is one that is up, not one that stalls", { north: { state: "stalled" }, south: { free: 0 } }, "south"],
    ["is one that takes calls, not one that drains", { north: "draining", south: { free: 0 } }, "south"],
    ["is the file's first if nothing is known", {}, "north"],
  ])("%s", (_what, boxes, first) => {
    expect(boxesTried(snapshotOf(boxes))[0]).toBe(first);
  });

  it("is a random one of equal boxes", () => {
    const snapshot = snapshotOf({ north: {}, south: {} });
    expect([0, 0.49, 0.5, 0.99].map((random) => boxesTried(snapshot, random)[0])).toEqual([
      "north",
      "north",
      "south",
      "south",
    ]);
  });

  it("is always the file's first if nothing is known", () => {
    expect(boxesTried(UNKNOWN_FLEET, 0.99)[0]).toBe("north");
  });

  it("has room for all of the call's answers", () => {
    const snapshot = snapshotOf({ north: { free: 1 }, south: { free: 2, places: 0 } });
    expect(boxesTried(snapshot, 0, callOf({ agentType: "Alpha", choices: 2 }))[0]).toBe("south");
  });

  it("is not one that announced no such server", () => {
    const snapshot: FleetSnapshot = {
      boxes: new Map([
        ["north", { draining: false, current: true, servers: new Map() }],
        ["south", boxWith({ free: 0 })],
      ]),
      fresh: true,
    };
    expect(boxesTried(snapshot)[0]).toBe("south");
  });
});

describe("every box that may serve is tried in the end", () => {
  it.each<[string, Record<string, Reported | "draining">]>([
    ["one that is full", { north: FULL, south: {} }],
    ["one that is down", { north: { state: "down" }, south: {} }],
    ["one that drains", { north: "draining", south: {} }],
  ])("%s", (_what, boxes) => {
    expect(new Set(boxesTried(snapshotOf(boxes)))).toEqual(new Set(["north", "south"]));
  });
});

describe("a call is refused at the edge", () => {
  it("if every box is full, for the shortest reported queue time", () => {
    const found = refusal(snapshotOf({ north: FULL, south: { ...FULL, waitMs: 4_000 } }));
    expect(found).toMatchObject({ code: "overloaded", retryAfterMs: 4_000 });
  });

  it("if one is full and the other down", () => {
    expect(refusal(snapshotOf({ north: FULL, south: { state: "down" } }))?.code).toBe("overloaded");
  });

  it("if every box drains", () => {
    expect(refusal(snapshotOf({ north: "draining", south: "draining" }))?.code).toBe("draining");
  });

  it.each<[string, Record<string, Reported | "draining">]>([
    ["one has a queue place", { north: FULL, south: { free: 0, places: 1 } }],
    ["one is unknown", { north: FULL }],
    ["only calls sent since the snapshot fill them", { north: { sent: 99 }, south: { sent: 99 } }],
    ["one is loading: the call can wait for it", { north: FULL, south: { state: "loading" } }],
    ["all are down: a box can wait, or fall back", { north: { state: "down" }, south: { state: "down" } }],
  ])("but not if %s", (_what, boxes) => {
    expect(refusal(snapshotOf(boxes))).toBeNull();
  });

  it("but not by a snapshot that is too old", () => {
    expect(refusal(snapshotOf({ north: FULL, south: FULL }, false))).toBeNull();
    // It was fetched a moment ago, but one box's report in it is old.
    expect(refusal(snapshotOf({ north: FULL, south: { ...FULL, current: false } }))).toBeNull();
  });
});

describe("another model is used", () => {
  const wide = indexFleet(
    fleetOf({
      modelRouter: [9001],
      boxes: [
        box("north", [server(9000), server(9001, { agents: ["Alpha"] }), server(9002, { agents: ["Beta"] })]),
        box("south", [server(9000), server(9001, { agents: ["Alpha"] })]),
      ],
    }),
  );
  const beta = callOf({ agentType: "Beta" });

  it("only after every box with the requested one, on the same box first if possible", () => {
    const decided = decide(beta, ANY_KEY, wide, snapshotOf({ north: {}, south: {} }), 0);
    expect(decided.ok && decided.value.boxes).toEqual([
      { box: "north", ports: [9002], fallbackPorts: [9001] },
      { box: "south", ports: [], fallbackPorts: [9001] },
      { box: "north", ports: [], fallbackPorts: [9000] },
      { box: "south", ports: [], fallbackPorts: [9000] },
    ]);
  });

  it("if the only box with the requested one drains", () => {
    const snapshot = snapshotOf({ north: "draining", south: {} });
    const decided = decide(beta, ANY_KEY, wide, snapshot, 0);
    expect(decided.ok && decided.value.boxes[1]).toEqual({
      box: "south",
      ports: [],
      fallbackPorts: [9001],
    });
    const alone = decide(beta, { ...ANY_KEY, fallback: "none" }, wide, snapshot, 0);
    expect(alone.ok ? null : alone.refusal.code).toBe("draining");
  });

  it("on another box if the only box with the requested one is down", () => {
    const snapshot = snapshotOf({ north: { state: "down" }, south: {} });
    const decided = decide(beta, ANY_KEY, wide, snapshot, 0);
    const boxes = decided.ok ? decided.value.boxes : [];
    expect(boxes.slice(0, 2)).toEqual([
      { box: "north", ports: [9002], fallbackPorts: [] },
      { box: "south", ports: [], fallbackPorts: [9001] },
    ]);
  });
});

it("with any snapshot, a box with room comes first, and no box is tried twice for the same ports", () => {
  const states: LinkState[] = ["down", "loading", "ready", "slow", "stalled"];
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const report = (): Reported | "draining" =>
      random.chance(0.1)
        ? "draining"
        : { state: random.pick(states), free: random.integer(0, 4), places: random.integer(0, 2) };
    const boxes = Object.fromEntries(
      ["north", "south"].filter(() => random.chance(0.8)).map((name) => [name, report()] as const),
    );
    const snapshot = snapshotOf(boxes, false);
    const tried = boxesTried(snapshot, random.chance(0.5) ? 0 : 0.9);
    const hasRoom = (name: string): boolean => {
      const known = snapshot.boxes.get(name);
      const one = known?.servers.get(9001);
      return known?.draining === false && one?.state === "ready" && (one.free > 0 || one.places > 0);
    };
    const [first = ""] = tried;
    if (hasRoom("north") || hasRoom("south")) expect(hasRoom(first), `seed ${seed}`).toBe(true);
    expect(new Set(tried.slice(0, 2)).size, `seed ${seed}`).toBe(2);
  }
});
