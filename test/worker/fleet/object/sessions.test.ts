// The frames of one agent's link, and its session as text for hibernation.
import { describe, expect, it } from "vitest";
import { LINK_CLOSE, MAX_FRAME_BYTES, WIRE_VERSION } from "../../../../shared/wire.ts";
import { SEEDS, SeededRandom } from "../../../support/seeded-random.ts";
import {
  handleFrame,
  newSession,
  type Handled,
  type Session,
} from "../../../../worker/fleet/object/sessions.ts";
import { sessionOf, sessionText } from "../../../../worker/fleet/object/session-text.ts";
import { FLEET_HASH, hello, linkServer, snapshot } from "../../support/agents.ts";
import { call } from "../../support/usage.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");
const fresh = (): Session => newSession("north", FLEET_HASH, NOON);
const handle = (session: Session, frame: unknown, now = NOON): Handled =>
  handleFrame(session, JSON.stringify(frame), now);
const greeted = (): Session => handle(fresh(), hello({ now: NOON })).session;
const usage = (ackedSeq: number, seqs: readonly number[]) => ({
  t: "usage",
  epoch: "epoch-1",
  ackedSeq,
  calls: seqs.map((seq) => call(seq)),
});

describe("an agent's hello", () => {
  it("that matches the edge is greeted without a warning", () => {
    const { session, actions } = handle(fresh(), hello({ now: NOON }));
    expect(actions).toEqual([{ kind: "greet", epoch: "epoch-1", drain: null }]);
    expect(session).toMatchObject({ warning: null, hello: { epoch: "epoch-1", version: "1.2.3" } });
  });

  it.each([
    ["another fleet file", { fleetHash: "0".repeat(64), now: NOON }, /fleet file/],
    [
      "an invalid fleet file",
      { fleetFault: "boxes[0].vramGib: Too small", fleetHash: "0".repeat(64), now: NOON },
      /^its fleet file is invalid, so it runs the last valid one: .*boxes\[0\]\.vramGib: Too small$/,
    ],
    ["a clock that is ahead", { now: NOON + 3_600_000 }, /60 minutes ahead/],
    ["a clock that is behind", { now: NOON - 3_600_000 }, /60 minutes behind/],
  ])("with %s is greeted with a warning, which operators see too", (_, more, warning) => {
    const { session, actions } = handle(fresh(), hello(more));
    expect(actions.map(({ kind }) => kind)).toEqual(["greet", "warn"]);
    expect(session.warning).toMatch(warning);
  });

  it("for a box other than the token's closes the link", () => {
    expect(handle(fresh(), hello({ box: "south" })).actions.at(-1)).toMatchObject({ code: LINK_CLOSE.box });
  });

  it.each([WIRE_VERSION - 1, WIRE_VERSION + 1])(
    "of the adjacent version %s is greeted: agents and edge are deployed one after the other",
    (v) => {
      const { session, actions } = handle(fresh(), hello({ now: NOON, v, later: "unread" }));
      expect(actions.map(({ kind }) => kind)).toEqual(["greet"]);
      expect(handle(session, snapshot(1, { later: "unread" })).session.snapshot?.seq).toBe(1);
    },
  );

  it.each([WIRE_VERSION - 2, WIRE_VERSION + 2, 1.5, "1", null, undefined])(
    "of version %s closes the link and states the edge's version",
    (v) => {
      const { actions } = handle(fresh(), hello({ v }));
      expect(actions.map(({ kind }) => kind)).toEqual(["warn", "close"]);
      expect(actions.at(-1)).toMatchObject({
        code: LINK_CLOSE.version,
        reason: expect.stringContaining("version 1") as string,
      });
    },
  );
});

describe("anything outside this protocol closes the link with a reason and a code:", () => {
  it.each<[string, string | ArrayBuffer]>([
    ["bytes", new ArrayBuffer(8)],
    ["no JSON", "{"],
    ["nothing", ""],
    ["a number", "7"],
    ["null", "null"],
    ["a list", "[]"],
    ["a frame that is too large", JSON.stringify({ ...snapshot(1), more: "x".repeat(MAX_FRAME_BYTES) })],
    ["nesting that is too deep", "[".repeat(100_000)],
  ])("%s", (_, frame) => {
    for (const session of [fresh(), greeted()]) {
      const { actions } = handleFrame(session, frame, NOON);
      expect(actions.map(({ kind }) => kind)).toEqual(["warn", "close"]);
      expect(actions.at(-1)).toMatchObject({ code: LINK_CLOSE.protocol });
    }
  });

  it.each([snapshot(1), usage(0, [1]), { t: "bye" }])("a valid frame before hello", (frame) => {
    expect(handle(fresh(), frame).actions.at(-1)).toMatchObject({ kind: "close", code: LINK_CLOSE.protocol });
  });
});

it.each([
  ["of the next release", { t: "sing" }],
  ["of the edge", { t: "ack", epoch: "a", lastSeq: 1 }],
])("a frame %s is ignored, and the link continues", (_, frame) => {
  const { session, actions } = handle(greeted(), frame);
  expect(actions).toEqual([]);
  expect(handle(session, snapshot(1)).session.snapshot?.seq).toBe(1);
});

describe("a known frame with an invalid field is ignored by itself:", () => {
  it.each([
    ["a negative count", snapshot(1, { servers: [linkServer(9000, { busy: -1 })] })],
    ["an absurd figure", snapshot(1, { servers: [linkServer(9000, { gpuGib: 1e300 })] })],
    ["a figure that is no number", snapshot(1, { servers: [linkServer(9000, { waitMs: "NaN" })] })],
    ["an unknown state", snapshot(1, { servers: [linkServer(9000, { state: "tired" })] })],
    [
      "more servers than a box can have",
      snapshot(1, { servers: Array.from({ length: 65 }, () => linkServer(9000)) }),
    ],
    ["a port above 65,535", snapshot(1, { servers: [linkServer(70_000)] })],
    ["no calls", usage(0, [])],
    ["calls out of order", usage(0, [2, 1])],
    ["a call with an acknowledged seq", usage(2, [2])],
    [
      "more calls than fit a batch",
      usage(
        0,
        Array.from({ length: 201 }, (_, at) => at + 1),
      ),
    ],
  ])("%s", (_, frame) => {
    const { session, actions } = handle(greeted(), frame);
    expect(actions.map(({ kind }) => kind)).toEqual(["warn"]);
    expect(session.snapshot).toBeNull();
    // The warning is sent once, and the next valid frame is handled.
    expect(handle(session, frame).actions).toEqual([]);
    expect(handle(session, snapshot(2)).session.snapshot?.seq).toBe(2);
  });
});

describe("snapshots", () => {
  it("replace each other by ascending seq; an older one is ignored", () => {
    let { session } = handle(greeted(), snapshot(5));
    session = handle(session, snapshot(4), NOON + 2_000).session;
    expect(session.snapshot?.seq).toBe(5);
    expect(handle(session, snapshot(6), NOON + 2_000).session.snapshot?.seq).toBe(6);
  });

  it("beyond a few per second are dropped, and frames beyond fifty are not read", () => {
    let session = greeted();
    for (let seq = 1; seq <= 100; seq += 1) session = handle(session, snapshot(seq), NOON + 1_000).session;
    expect(session.snapshot?.seq).toBe(4);
    expect(handleFrame(session, "{", NOON + 1_000).actions).toEqual([]);
    expect(handle(session, snapshot(101), NOON + 2_000).session.snapshot?.seq).toBe(101);
  });
});

describe("a session as text", () => {
  it("is parsed back unchanged", () => {
    const { session } = handle(
      greeted(),
      snapshot(5, {
        gpus: [
          {
            name: "a card",
            memoryUsedGib: 1,
            memoryTotalGib: null,
            utilizationPercent: 3,
            temperatureC: 60,
            powerWatts: 200.5,
          },
        ],
      }),
    );
    expect(sessionOf(sessionText(session))).toEqual(session);
  });

  it.each(SEEDS)("fits an attachment and keeps its identity, whatever a box sends (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const text = (max: number) =>
      random.text(random.below(max + 1), ["a", "é", "語", "😀", '"', "\\"]).slice(0, max);
    const figure = () => random.pick([null, 0, random.next() * 1e12, random.next()]);
    const count = random.below(65);
    const ports = Array.from({ length: count }, (_, at) => 9000 + at);
    const model = () => `M${random.text(random.below(127), ["x", "y"])}`;
    let { session } = handle(
      fresh(),
      hello({ now: NOON, version: text(64), servers: ports.map((port) => ({ port, model: model() })) }),
    );
    const servers = ports.map((port) =>
      linkServer(port, {
        why: text(200),
        waitMs: figure(),
        tokensPerSecond: figure(),
        gpuGib: figure(),
        restarts: random.below(1e9),
      }),
    );
    const card = () => ({
      name: text(128),
      memoryUsedGib: figure(),
      memoryTotalGib: figure(),
      utilizationPercent: figure(),
      temperatureC: figure(),
      powerWatts: figure(),
    });
    const gpus = random.chance(0.2) ? null : Array.from({ length: random.below(65) }, card);
    session = handle(session, snapshot(1, { servers, gpus })).session;
    expect(session.snapshot).not.toBeNull();
    const stored = sessionText(session);
    expect(new TextEncoder().encode(stored).length).toBeLessThanOrEqual(16_384 - 64);
    const back = sessionOf(stored);
    expect(back).toMatchObject({ box: "north", hello: { epoch: "epoch-1" } });
    expect(back?.hello?.servers.map(({ port }) => port)).toEqual(ports);
    const kept = back?.snapshot?.servers.map(({ port, state }) => [port, state]) ?? [];
    expect(kept).toEqual(ports.slice(0, kept.length).map((port) => [port, "ready"]));
    if (gpus === null || gpus.length <= 8) expect(kept).toHaveLength(count);
  });

  it.each([null, undefined, 7, "", "{", '{"v":0}', "[]"])("of another release is ignored: %s", (text) => {
    expect(sessionOf(text)).toBeNull();
  });
});
