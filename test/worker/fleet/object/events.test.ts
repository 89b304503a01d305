// What is told of a box's words: what detectEvents, in words, once.
import { describe, expect, it } from "vitest";
import {
  detectEvents,
  type BoxHistory,
  type BoxStatus,
  type ServerStatus,
} from "../../../../worker/fleet/object/events.ts";

const SERVER: ServerStatus = { port: 9001, state: "ready", why: "", restarts: 2, continued: 0 };

/** Tells one server's words in order, a time in milliseconds each; gives all that was told, in order. */
function telling(
  ...words: readonly (readonly [at: number, said: Partial<ServerStatus>, box?: Partial<BoxStatus>])[]
): string[] {
  let course: BoxHistory | null = null;
  return words.flatMap(([at, said, box]) => {
    const heard = detectEvents(
      course,
      { draining: false, journal: "ok", servers: [{ ...SERVER, ...said }], ...box },
      at,
    );
    course = heard.course;
    return heard.told.map(({ level, text }) => `${level}: ${text}`);
  });
}

describe("what happened", () => {
  it("to a server that PM2 restarted: how long it was away, and how many streams went on", () => {
    expect(
      telling(
        [0, {}],
        [1_000, { state: "down", why: "nothing listens" }],
        [3_000, { state: "loading", restarts: 3 }],
        [7_100, { restarts: 3, continued: 3 }],
        [8_100, { restarts: 3, continued: 3 }],
      ),
    ).toEqual([
      "bad: 9001 is down: nothing listens",
      "info: 9001 is loading",
      "good: 9001 was restarted by PM2, back after 6.1 s, 3 streams continued",
    ]);
  });

  it("to a server restarted between two of the box's words", () => {
    expect(telling([0, {}], [1_000, { restarts: 3, continued: 1 }])).toEqual([
      "warn: 9001 was restarted by PM2, 1 stream continued",
    ]);
  });

  it("to a server that came back by itself, was slow, stalled, or was set aside", () => {
    expect(
      telling(
        [0, {}],
        [1_000, { state: "slow", why: "it holds no GPU memory" }],
        [2_000, {}],
        [3_000, { state: "stalled" }],
        [75_000, {}],
        [76_000, { state: "draining" }],
      ),
    ).toEqual([
      "warn: 9001 is slow: it holds no GPU memory",
      "good: 9001 is as quick as usual again",
      "bad: 9001 decodes nothing",
      "good: 9001 is up again after 1 min 12 s",
      "info: 9001 is left alone by an operator's wish",
    ]);
  });

  it("to a box that is drained and resumed, and to its journal", () => {
    expect(
      telling([0, {}], [1_000, {}, { draining: true }], [2_000, {}, { journal: "full" }], [3_000, {}]),
    ).toEqual([
      "info: takes no further calls",
      "good: takes calls again",
      "bad: the usage journal is full: calls are served and may not be booked",
      "good: the usage journal takes records again",
    ]);
  });
});

describe("nothing is told", () => {
  it("of a box's first words", () => {
    expect(telling([0, { state: "down" }])).toEqual([]);
  });

  it("of words that repeat", () => {
    expect(telling([0, { state: "down" }], [1_000, { state: "down" }], [2_000, { state: "down" }])).toEqual(
      [],
    );
  });

  it("of counts that fall: PM2's or an agent's that began anew", () => {
    expect(telling([0, { restarts: 5, continued: 9 }], [1_000, { restarts: 0, continued: 0 }])).toEqual([]);
  });

  it("of restarts that nobody counted", () => {
    expect(telling([0, { restarts: null }], [1_000, { restarts: 4 }], [2_000, { restarts: null }])).toEqual(
      [],
    );
  });
});
