// The events that follow from a box's successive statuses: what happened, as text, once.
import { describe, expect, it } from "vitest";
import {
  detectEvents,
  serverName,
  type BoxHistory,
  type BoxStatus,
  type ServerStatus,
} from "../../../../worker/fleet/object/events.ts";

const SERVER: ServerStatus = { port: 9001, state: "ready", why: "", restarts: 2, continued: 0 };
const BOX = { box: "north", draining: false, journal: "ok", models: new Map([[9001, "Model-1"]]) } as const;

/** Applies one server's statuses in order, each with its time in milliseconds; returns all events in order. */
function eventsOf(
  ...statuses: readonly (readonly [at: number, server: Partial<ServerStatus>, box?: Partial<BoxStatus>])[]
): string[] {
  let history: BoxHistory | null = null;
  return statuses.flatMap(([at, server, box]) => {
    const detected = detectEvents(history, { ...BOX, servers: [{ ...SERVER, ...server }], ...box }, at);
    history = detected.history;
    return detected.events.map(({ level, text }) => `${level}: ${text}`);
  });
}

describe("an event", () => {
  it("of a server that PM2 restarted states how long it was away, and how many streams continued", () => {
    expect(
      eventsOf(
        [0, {}],
        [1_000, { state: "down", why: "nothing listens" }],
        [3_000, { state: "loading", restarts: 3 }],
        [7_100, { restarts: 3, continued: 3 }],
        [8_100, { restarts: 3, continued: 3 }],
      ),
    ).toEqual([
      "bad: 9001 (Model-1) on north is down: nothing listens",
      "info: 9001 (Model-1) on north is loading",
      "good: 9001 (Model-1) on north was restarted by PM2, back after 6.1 s, 3 streams continued",
    ]);
  });

  it("of a restart between two statuses is detected by its count", () => {
    expect(eventsOf([0, {}], [1_000, { restarts: 3, continued: 1 }])).toEqual([
      "warn: 9001 (Model-1) on north was restarted by PM2, 1 stream continued",
    ]);
  });

  it("of a server that was slow or stalled, and of its recovery", () => {
    expect(
      eventsOf(
        [0, {}],
        [1_000, { state: "slow", why: "it holds no GPU memory" }],
        [2_000, {}],
        [3_000, { state: "stalled" }],
        [75_000, {}],
      ),
    ).toEqual([
      "warn: 9001 (Model-1) on north is slow: it holds no GPU memory",
      "good: 9001 (Model-1) on north is back to its usual speed",
      "bad: 9001 (Model-1) on north is stalled",
      "good: 9001 (Model-1) on north is up again after 1 min 12 s",
    ]);
  });

  it("of a box that is drained and resumed, and of its journal", () => {
    expect(
      eventsOf([0, {}], [1_000, {}, { draining: true }], [2_000, {}, { journal: "full" }], [3_000, {}]),
    ).toEqual([
      "info: north takes no new calls",
      "good: north takes calls again",
      "bad: the usage journal of north is full: calls are served but may not be booked",
      "good: the usage journal of north takes records again",
    ]);
  });
});

describe("no event follows", () => {
  it("from a box's first status", () => {
    expect(eventsOf([0, { state: "down" }])).toEqual([]);
  });

  it("from a repeated status", () => {
    expect(eventsOf([0, { state: "down" }], [1_000, { state: "down" }], [2_000, { state: "down" }])).toEqual(
      [],
    );
  });

  it("from counts that fell, because PM2 or the agent restarted them", () => {
    expect(eventsOf([0, { restarts: 5, continued: 9 }], [1_000, { restarts: 0, continued: 0 }])).toEqual([]);
  });

  it("from an unknown restart count", () => {
    expect(eventsOf([0, { restarts: null }], [1_000, { restarts: 4 }], [2_000, { restarts: null }])).toEqual(
      [],
    );
  });
});

it("names a server by port, model and box, and leaves an unknown model out", () => {
  expect(serverName("north", 9001, "Model-1")).toBe("9001 (Model-1) on north");
  expect([undefined, ""].map((model) => serverName("north", 9001, model))).toEqual([
    "9001 on north",
    "9001 on north",
  ]);
});
