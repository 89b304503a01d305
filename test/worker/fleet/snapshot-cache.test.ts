// What an isolate knows of the boxes: how old it may be, who waits for it, and what goes on without it.
import { describe, expect, it } from "vitest";
import type { BoxReport, LinkedAgent } from "../../../shared/box-report.ts";
import { LINK_SILENT_MS } from "../../../shared/limits.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import { SnapshotCache, fleetSnapshot } from "../../../worker/fleet/snapshot-cache.ts";
import { UNKNOWN_FLEET } from "../../../worker/fleet/snapshot.ts";

const SERVER: Snapshot["servers"][number] = {
  port: 9001,
  state: "ready",
  why: "",
  slots: 4,
  busy: 1,
  waiting: 2,
  places: 64,
  waitMs: 500,
  tokensPerSecond: null,
  firstTokenP50Ms: null,
  firstTokenP95Ms: null,
  continued: 0,
  gpuGib: null,
  restarts: null,
};
const SNAPSHOT: Snapshot = {
  t: "snapshot",
  seq: 1,
  draining: false,
  servers: [SERVER],
  gpus: null,
  traffic: {
    windowS: 300,
    byAgent: { agents: [], calls: [], tokens: [] },
    calls: 0,
    failed: 0,
    fallbacks: 0,
    recoveries: 0,
  },
  journal: { state: "ok", behindMs: null },
};
const AGENT: LinkedAgent = {
  epoch: "e1",
  version: "1",
  linkedForMs: 60_000,
  lastSeenAgoMs: 0,
  leaving: false,
  ports: [9001],
  models: ["Model-9001"],
  warning: null,
  snapshot: SNAPSHOT,
  snapshotAgoMs: 0,
};

const reportOf = (...agents: Partial<LinkedAgent>[]): BoxReport => ({
  box: "north",
  lastSeenAgoMs: 0,
  version: "1",
  agents: agents.map((more) => ({ ...AGENT, ...more })),
});

/** An isolate with a clock of the test's, and an object that answers when the test says so. */
function isolate() {
  let now = 1_000_000;
  const questions: PromiseWithResolvers<readonly BoxReport[]>[] = [];
  const later: Promise<unknown>[] = [];
  const live = new SnapshotCache(() => now);
  const asking = {
    boxes: () => {
      const question = Promise.withResolvers<readonly BoxReport[]>();
      questions.push(question);
      return question.promise;
    },
    waitUntil: (work: Promise<unknown>) => void later.push(work),
  };
  return {
    live,
    questions,
    pass: (ms: number) => void (now += ms),
    look: async () => live.read(asking),
    /** Whether a call would have to wait. */
    waits: () => live.read(asking) instanceof Promise,
    async answer(reports: readonly BoxReport[] = [reportOf({})]) {
      questions.at(-1)?.resolve(reports);
      await Promise.all(later);
    },
    async fail() {
      questions.at(-1)?.reject(new Error("gone"));
      await Promise.all(later);
    },
  };
}

/** One that was told a time ago. */
async function told() {
  const one = isolate();
  const looking = one.look();
  await one.answer();
  await looking;
  return one;
}

describe("an isolate's view of the fleet", () => {
  it("is waited for by the first call, and is what the boxes said", async () => {
    const one = isolate();
    const looking = one.look();
    await one.answer();
    const seen = await looking;
    expect(seen.fresh).toBe(true);
    expect(seen.boxes.get("north")?.servers.get(9001)).toEqual({
      state: "ready",
      free: 3,
      places: 62,
      sent: 0,
      waitMs: 500,
    });
  });

  it("is used for two seconds with nobody asked", async () => {
    const one = await told();
    one.pass(2_000);
    expect(one.waits()).toBe(false);
    expect((await one.look()).fresh).toBe(true);
    expect(one.questions).toHaveLength(1);
  });

  it("is used up to ten seconds old while one question is asked beside, and no call is refused on it", async () => {
    const one = await told();
    one.pass(2_001);
    for (let call = 0; call < 5; call += 1) {
      expect(one.waits()).toBe(false);
      expect((await one.look()).fresh).toBe(false);
    }
    expect(one.questions).toHaveLength(2);
    await one.answer([]);
    expect(await one.look()).toEqual({ boxes: new Map(), fresh: true });
  });

  it("older than that is waited for, by one call at a time, for 100 ms", async () => {
    const one = await told();
    one.pass(10_001);
    const looking = one.look();
    expect(one.waits()).toBe(false);
    // Nobody answers: the call goes by the fleet file.
    expect(await looking).toBe(UNKNOWN_FLEET);
    expect(one.questions).toHaveLength(2);
    await one.answer();
    expect((await one.look()).fresh).toBe(true);
  });

  it("is asked for again a second after a question that failed, and five after one that was lost", async () => {
    const one = isolate();
    const looking = one.look();
    await one.fail();
    expect(await looking).toBe(UNKNOWN_FLEET);
    expect(await one.look()).toBe(UNKNOWN_FLEET);
    expect(one.questions).toHaveLength(1);
    one.pass(1_000);
    void one.look();
    expect(one.questions).toHaveLength(2);
    one.pass(4_999);
    void one.look();
    expect(one.questions).toHaveLength(2);
    one.pass(1);
    void one.look();
    expect(one.questions).toHaveLength(3);
  });

  it("counts the calls that were sent since", async () => {
    const one = await told();
    one.live.sent("north", 9001);
    one.live.sent("north", 9001);
    expect((await one.look()).boxes.get("north")?.servers.get(9001)?.sent).toBe(2);
  });
});

describe("a box", () => {
  const boxOf = (...agents: Partial<LinkedAgent>[]) =>
    fleetSnapshot([reportOf(...agents)]).boxes.get("north");
  const draining = { ...SNAPSHOT, draining: true };

  it("is unknown with no agent linked, one that said nothing yet, or one that has been silent", () => {
    expect(boxOf()).toBeUndefined();
    expect(boxOf({ snapshot: null })).toBeUndefined();
    expect(boxOf({ lastSeenAgoMs: LINK_SILENT_MS })).toBeUndefined();
  });

  it("goes by the agent that takes calls while another one leaves", () => {
    const other = { ...SNAPSHOT, servers: [{ ...SERVER, busy: 4 }] };
    expect(boxOf({ snapshot: draining }, { epoch: "e2", snapshot: other })).toMatchObject({
      draining: false,
    });
    expect(boxOf({ leaving: true }, { epoch: "e2", snapshot: other })?.servers.get(9001)?.free).toBe(0);
  });

  it("drains where every agent of it does", () => {
    expect(boxOf({ snapshot: draining })?.draining).toBe(true);
    expect(boxOf({ leaving: true })?.draining).toBe(true);
  });

  it("that an operator drained drains, whatever its agent says, and where none is linked", () => {
    const heldBox = (...agents: Partial<LinkedAgent>[]) =>
      fleetSnapshot([{ ...reportOf(...agents), drained: true }]).boxes.get("north");
    expect(heldBox({ snapshot: SNAPSHOT })?.draining).toBe(true);
    expect(heldBox()).toEqual({ draining: true, servers: new Map() });
  });

  it("has no server that its agent didn't announce", () => {
    expect(boxOf({ ports: [9002] })?.servers.size).toBe(0);
  });
});
