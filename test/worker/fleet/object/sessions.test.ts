// One agent's link as a pure decision, and its session's way through hibernation.
import { describe, expect, it } from "vitest";
import { LINK_CLOSE, MAX_FRAME_BYTES } from "../../../../shared/wire.ts";
import { SEEDS, SeededRandom } from "../../../support/seeded-random.ts";
import { handleFrame, newSession, type Handled, type Session } from "../../../../worker/fleet/object/sessions.ts";
import { sessionOf, sessionText } from "../../../../worker/fleet/object/session-text.ts";
import { FLEET_HASH, hello, linkServer, snapshot } from "../../support/agents.ts";
import { call } from "../../support/usage.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");
const fresh = (): Session => newSession("north", FLEET_HASH, NOON);
const say = (session: Session, frame: unknown, now = NOON): Handled =>
  handleFrame(session, JSON.stringify(frame), now);
const greeted = (): Session => say(fresh(), hello({ now: NOON })).session;
const usage = (after: number, seqs: readonly number[]) => ({
  t: "usage",
  epoch: "epoch-1",
  after,
  calls: seqs.map((seq) => call(seq)),
});

describe("an agent's hello", () => {
  it("that differs in nothing is greeted without a word", () => {
    const { session, actions } = say(fresh(), hello({ now: NOON }));
    expect(actions).toEqual([{ kind: "greet", epoch: "epoch-1" }]);
    expect(session).toMatchObject({ warning: null, hello: { epoch: "epoch-1", version: "1.2.3" } });
  });

  it.each([
    ["another fleet file", { fleetHash: "0".repeat(64), now: NOON }, /fleet file/],
    ["a clock that is ahead", { now: NOON + 3_600_000 }, /60 minutes ahead/],
    ["a clock that is behind", { now: NOON - 3_600_000 }, /60 minutes behind/],
  ])("with %s is greeted, warned and noted for operators", (_, more, words) => {
    const { session, actions } = say(fresh(), hello(more));
    expect(actions.map(({ kind }) => kind)).toEqual(["greet", "warn"]);
    expect(session.warning).toMatch(words);
  });

  it("for another box than the token's ends the link", () => {
    expect(say(fresh(), hello({ box: "south" })).actions.at(-1)).toMatchObject({ code: LINK_CLOSE.box });
  });

  it.each([0, 2, "1", null, undefined])("of version %s ends the link and says which one it speaks", (v) => {
    const { actions } = say(fresh(), hello({ v }));
    expect(actions.map(({ kind }) => kind)).toEqual(["warn", "close"]);
    expect(actions.at(-1)).toMatchObject({
      code: LINK_CLOSE.version,
      reason: expect.stringContaining("version 1") as string,
    });
  });
});

describe("what isn't this protocol ends the link, with words and a code:", () => {
  it.each<[string, string | ArrayBuffer]>([
    ["bytes", new ArrayBuffer(8)],
    ["no JSON", "{"],
    ["nothing", ""],
    ["a number", "7"],
    ["null", "null"],
    ["a list", "[]"],
    ["an unknown frame", '{"t":"sing"}'],
    ["a frame of the edge's", '{"t":"ack","epoch":"a","upTo":1}'],
    ["a frame that is too large", JSON.stringify({ ...snapshot(1), more: "x".repeat(MAX_FRAME_BYTES) })],
    ["nested too deep to be one", "[".repeat(100_000)],
  ])("%s", (_, frame) => {
    for (const session of [fresh(), greeted()]) {
      const { actions } = handleFrame(session, frame, NOON);
      expect(actions.map(({ kind }) => kind)).toEqual(["warn", "close"]);
      expect(actions.at(-1)).toMatchObject({ code: LINK_CLOSE.protocol });
    }
  });

  it.each([snapshot(1), usage(0, [1]), { t: "bye" }])("a good frame before hello", (frame) => {
    expect(say(fresh(), frame).actions.at(-1)).toMatchObject({ kind: "close", code: LINK_CLOSE.protocol });
  });
});

describe("a known frame with a wrong figure costs that frame alone:", () => {
  it.each([
    ["a negative count", snapshot(1, { servers: [linkServer(9000, { busy: -1 })] })],
    ["an absurd figure", snapshot(1, { servers: [linkServer(9000, { gpuGib: 1e300 })] })],
    ["a figure that is no number", snapshot(1, { servers: [linkServer(9000, { waitMs: "NaN" })] })],
    ["a state nobody knows", snapshot(1, { servers: [linkServer(9000, { state: "tired" })] })],
    [
      "more servers than a box can have",
      snapshot(1, { servers: Array.from({ length: 65 }, () => linkServer(9000)) }),
    ],
    ["a port beyond ports", snapshot(1, { servers: [linkServer(70_000)] })],
    ["no calls", usage(0, [])],
    ["calls out of order", usage(0, [2, 1])],
    ["a call numbered at its after", usage(2, [2])],
    [
      "more calls than fit a batch",
      usage(
        0,
        Array.from({ length: 201 }, (_, at) => at + 1),
      ),
    ],
  ])("%s", (_, frame) => {
    const { session, actions } = say(greeted(), frame);
    expect(actions.map(({ kind }) => kind)).toEqual(["warn"]);
    expect(session.snapshot).toBeNull();
    // Said once; and the next good frame is taken.
    expect(say(session, frame).actions).toEqual([]);
    expect(say(session, snapshot(2)).session.snapshot?.seq).toBe(2);
  });
});

describe("snapshots", () => {
  it("replace each other as their numbers grow; an older one is left", () => {
    let { session } = say(greeted(), snapshot(5));
    session = say(session, snapshot(4), NOON + 2_000).session;
    expect(session.snapshot?.seq).toBe(5);
    expect(say(session, snapshot(6), NOON + 2_000).session.snapshot?.seq).toBe(6);
  });

  it("beyond a few a second are dropped, and frames beyond fifty unread", () => {
    let session = greeted();
    for (let seq = 1; seq <= 100; seq += 1) session = say(session, snapshot(seq), NOON + 1_000).session;
    expect(session.snapshot?.seq).toBe(4);
    expect(handleFrame(session, "{", NOON + 1_000).actions).toEqual([]);
    expect(say(session, snapshot(101), NOON + 2_000).session.snapshot?.seq).toBe(101);
  });
});

describe("a session as text", () => {
  it("comes back as it was", () => {
    const { session } = say(
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

  it.each(SEEDS)("fits an attachment and keeps who it is, whatever a box says (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const words = (most: number) =>
      random.text(random.below(most + 1), ["a", "é", "語", "😀", '"', "\\"]).slice(0, most);
    const figure = () => random.pick([null, 0, random.next() * 1e12, random.next()]);
    const count = random.below(65);
    const ports = Array.from({ length: count }, (_, at) => 9000 + at);
    const model = () => `M${random.text(random.below(127), ["x", "y"])}`;
    let { session } = say(
      fresh(),
      hello({ now: NOON, version: words(64), servers: ports.map((port) => ({ port, model: model() })) }),
    );
    const servers = ports.map((port) =>
      linkServer(port, {
        why: words(200),
        waitMs: figure(),
        tokensPerSecond: figure(),
        gpuGib: figure(),
        restarts: random.below(1e9),
      }),
    );
    const card = () => ({
      name: words(128),
      memoryUsedGib: figure(),
      memoryTotalGib: figure(),
      utilizationPercent: figure(),
      temperatureC: figure(),
      powerWatts: figure(),
    });
    const gpus = random.chance(0.2) ? null : Array.from({ length: random.below(65) }, card);
    session = say(session, snapshot(1, { servers, gpus })).session;
    expect(session.snapshot).not.toBeNull();
    const text = sessionText(session);
    expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(16_384 - 64);
    const back = sessionOf(text);
    expect(back).toMatchObject({ box: "north", hello: { epoch: "epoch-1" } });
    expect(back?.hello?.servers.map(({ port }) => port)).toEqual(ports);
    const kept = back?.snapshot?.servers.map(({ port, state }) => [port, state]) ?? [];
    expect(kept).toEqual(ports.slice(0, kept.length).map((port) => [port, "ready"]));
    if (gpus === null || gpus.length <= 8) expect(kept).toHaveLength(count);
  });

  it.each([null, undefined, 7, "", "{", '{"v":0}', "[]"])("of another release is none: %s", (text) => {
    expect(sessionOf(text)).toBeNull();
  });
});
