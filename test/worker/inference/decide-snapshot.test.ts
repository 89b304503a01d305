// Where calls go when the boxes say how they are: two boxes alike, `north` before `south` in the file.
import { describe, expect, it } from "vitest";
import type { LinkState } from "../../../shared/wire.ts";
import { decide } from "../../../worker/inference/decide.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { UNKNOWN_FLEET, type BoxSnapshot, type FleetSnapshot } from "../../../worker/fleet/snapshot.ts";
import { callOf } from "../support/calls.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { seeded } from "../support/random.ts";

const ANYONE = { agents: null, fallback: "auto" } as const;
const ALPHA = callOf({ agentType: "Alpha" });
const fleet = indexFleet(twoBoxes());

interface Said {
  readonly state?: LinkState;
  readonly free?: number;
  readonly places?: number;
  readonly waitMs?: number | null;
  readonly sent?: number;
}

/** A box that says the same of both its servers, or that it drains. */
function says(said: Said | "draining"): BoxSnapshot {
  const { state = "ready", free = 4, places = 64, waitMs = 0, sent = 0 } = said === "draining" ? {} : said;
  const each = { state, free, places, waitMs, sent };
  return {
    draining: said === "draining",
    servers: new Map([9000, 9001].map((port) => [port, each])),
  };
}

function liveOf(boxes: Readonly<Record<string, Said | "draining">>, fresh = true): FleetSnapshot {
  return { boxes: new Map(Object.entries(boxes).map(([name, said]) => [name, says(said)])), fresh };
}

const FULL: Said = { free: 0, places: 0, waitMs: 9_000 };

function boxesAsked(live: FleetSnapshot, turn = 0, call = ALPHA, index = fleet): string[] {
  const decided = decide(call, ANYONE, index, live, turn);
  if (!decided.ok) throw new Error(decided.refusal.code);
  return decided.value.attempts.map((attempt) => attempt.box);
}

function refusal(live: FleetSnapshot, call = ALPHA) {
  const decided = decide(call, ANYONE, fleet, live, 0);
  return decided.ok ? null : decided.refusal;
}

describe("the box that is asked first", () => {
  it.each<[string, Record<string, Said | "draining">, string]>([
    ["is the one with a free slot, not the one with a queue", { north: { free: 0 }, south: {} }, "south"],
    ["is the one with more room", { north: { free: 1 }, south: { free: 3 } }, "south"],
    [
      "is the one with more room, by what was sent since",
      { north: { sent: 2 }, south: { sent: 1 } },
      "south",
    ],
    ["is one that may be free, not one that was filled since", { north: { sent: 4 }, south: {} }, "south"],
    ["is the one with a queue, not the full one", { north: FULL, south: { free: 0 } }, "south"],
    ["is one that queues, not one that is slow", { north: { state: "slow" }, south: { free: 0 } }, "south"],
    ["is a slow one, not one nothing is known of", { south: { state: "slow" } }, "south"],
    ["is one nothing is known of, not one that loads", { north: { state: "loading" } }, "south"],
    [
      "is one that loads, not one that is down",
      { north: { state: "down" }, south: { state: "loading" } },
      "south",
    ],
    ["is one that loads, not a full one", { north: FULL, south: { state: "loading" } }, "south"],
    ["is one that is up, not one that stalls", { north: { state: "stalled" }, south: { free: 0 } }, "south"],
    ["is one that takes calls, not one that drains", { north: "draining", south: { free: 0 } }, "south"],
    ["is the file's first where nothing is known", {}, "north"],
  ])("%s", (_what, boxes, first) => {
    expect(boxesAsked(liveOf(boxes))[0]).toBe(first);
  });

  it("is each in turn of those that are alike", () => {
    const live = liveOf({ north: {}, south: {} });
    expect([0, 0.49, 0.5, 0.99].map((turn) => boxesAsked(live, turn)[0])).toEqual([
      "north",
      "north",
      "south",
      "south",
    ]);
  });

  it("is never another than the file's first where nothing is known, whoever's turn it is", () => {
    expect(boxesAsked(UNKNOWN_FLEET, 0.99)[0]).toBe("north");
  });

  it("is judged by the room that all of the call's answers need", () => {
    const live = liveOf({ north: { free: 1 }, south: { free: 2, places: 0 } });
    expect(boxesAsked(live, 0, callOf({ agentType: "Alpha", choices: 2 }))[0]).toBe("south");
  });

  it("takes a server that its box didn't announce for down", () => {
    const live: FleetSnapshot = {
      boxes: new Map([
        ["north", { draining: false, servers: new Map() }],
        ["south", says({ free: 0 })],
      ]),
      fresh: true,
    };
    expect(boxesAsked(live)[0]).toBe("south");
  });
});

describe("every box that may serve is still asked in the end", () => {
  it.each<[string, Record<string, Said | "draining">]>([
    ["one that is full", { north: FULL, south: {} }],
    ["one that is down", { north: { state: "down" }, south: {} }],
    ["one that drains", { north: "draining", south: {} }],
  ])("%s", (_what, boxes) => {
    expect(new Set(boxesAsked(liveOf(boxes)))).toEqual(new Set(["north", "south"]));
  });
});

describe("a call is refused with nobody asked", () => {
  it("where every box is full, for as long as the quickest of them said", () => {
    const found = refusal(liveOf({ north: FULL, south: { ...FULL, waitMs: 4_000 } }));
    expect(found).toMatchObject({ code: "overloaded", retryAfterMs: 4_000 });
  });

  it("where one is full and the other down", () => {
    expect(refusal(liveOf({ north: FULL, south: { state: "down" } }))?.code).toBe("overloaded");
  });

  it("where every box drains", () => {
    expect(refusal(liveOf({ north: "draining", south: "draining" }))?.code).toBe("draining");
  });

  it.each<[string, Record<string, Said | "draining">]>([
    ["one has a place for waiting", { north: FULL, south: { free: 0, places: 1 } }],
    ["of one nothing is known", { north: FULL }],
    ["they have room but for what was sent since", { north: { sent: 99 }, south: { sent: 99 } }],
    ["one is loading: it is waited for", { north: FULL, south: { state: "loading" } }],
    ["all are down: a box may wait, or fall back", { north: { state: "down" }, south: { state: "down" } }],
  ])("but not where %s", (_what, boxes) => {
    expect(refusal(liveOf(boxes))).toBeNull();
  });

  it("and not on words that are too old to refuse on", () => {
    expect(refusal(liveOf({ north: FULL, south: FULL }, false))).toBeNull();
  });
});

describe("another model is fallen back to", () => {
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

  it("only behind every box that has the wanted one, on the same box first where it can", () => {
    const decided = decide(beta, ANYONE, wide, liveOf({ north: {}, south: {} }), 0);
    expect(decided.ok && decided.value.attempts).toEqual([
      { box: "north", ports: [9002], fallbackPorts: [9001] },
      { box: "south", ports: [], fallbackPorts: [9001] },
      { box: "north", ports: [], fallbackPorts: [9000] },
      { box: "south", ports: [], fallbackPorts: [9000] },
    ]);
  });

  it("where the only box that has the wanted one is drained and another box's model may stand in", () => {
    const live = liveOf({ north: "draining", south: {} });
    const decided = decide(beta, ANYONE, wide, live, 0);
    expect(decided.ok && decided.value.attempts[1]).toEqual({
      box: "south",
      ports: [],
      fallbackPorts: [9001],
    });
    const alone = decide(beta, { ...ANYONE, fallback: "none" }, wide, live, 0);
    expect(alone.ok ? null : alone.refusal.code).toBe("draining");
  });

  it("on another box where the wanted one's own is of no use", () => {
    const live = liveOf({ north: { state: "down" }, south: {} });
    const decided = decide(beta, ANYONE, wide, live, 0);
    const attempts = decided.ok ? decided.value.attempts : [];
    expect(attempts.slice(0, 2)).toEqual([
      { box: "north", ports: [9002], fallbackPorts: [] },
      { box: "south", ports: [], fallbackPorts: [9001] },
    ]);
  });
});

it("whatever the boxes say, no full or useless box comes before one with room, and none is asked twice as it is", () => {
  const states: LinkState[] = ["down", "loading", "ready", "slow", "stalled"];
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const said = (): Said | "draining" =>
      random.chance(0.1)
        ? "draining"
        : { state: random.pick(states), free: random.whole(0, 4), places: random.whole(0, 2) };
    const boxes = Object.fromEntries(
      ["north", "south"].filter(() => random.chance(0.8)).map((name) => [name, said()] as const),
    );
    const live = liveOf(boxes, false);
    const asked = boxesAsked(live, random.chance(0.5) ? 0 : 0.9);
    const hasRoom = (name: string): boolean => {
      const known = live.boxes.get(name);
      const one = known?.servers.get(9001);
      return known?.draining === false && one?.state === "ready" && (one.free > 0 || one.places > 0);
    };
    const [first = ""] = asked;
    if (hasRoom("north") || hasRoom("south")) expect(hasRoom(first), `seed ${seed}`).toBe(true);
    expect(new Set(asked.slice(0, 2)).size, `seed ${seed}`).toBe(2);
  }
});
