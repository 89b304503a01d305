// An isolate's fleet snapshot: how old it may be, which calls wait for it, and what happens without it.
import { describe, expect, it } from "vitest";
import type { BoxReport, LinkedAgent } from "../../../worker/fleet/object/box-reports.ts";
import { LINK_SILENT_MS } from "../../../shared/limits.ts";
import { SnapshotCache, boxSnapshots } from "../../../worker/fleet/snapshot-cache.ts";
import { UNKNOWN_FLEET } from "../../../worker/fleet/snapshot.ts";
import { serverFrame, snapshotFrame } from "../../shared/support/frames.ts";

const SERVER = serverFrame({ port: 9001, slots: 4, busy: 1, waiting: 2, places: 64, waitMs: 500 });
const SNAPSHOT = snapshotFrame({ servers: [SERVER] });
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
  drained: false,
  agents: agents.map((more) => ({ ...AGENT, ...more })),
});

/** An isolate with the test's clock, and an object that answers when the test makes it. */
function isolate() {
  let now = 1_000_000;
  const requests: PromiseWithResolvers<readonly BoxReport[]>[] = [];
  const later: Promise<unknown>[] = [];
  const cache = new SnapshotCache(() => now);
  const source = {
    boxes: () => {
      const request = Promise.withResolvers<readonly BoxReport[]>();
      requests.push(request);
      return request.promise;
    },
    waitUntil: (work: Promise<unknown>) => void later.push(work),
  };
  return {
    cache,
    requests,
    pass: (ms: number) => void (now += ms),
    read: async () => cache.read(source),
    /** Whether a call would have to wait. */
    waits: () => cache.read(source) instanceof Promise,
    async answer(reports: readonly BoxReport[] = [reportOf({})]) {
      requests.at(-1)?.resolve(reports);
      await Promise.all(later);
    },
    async fail() {
      requests.at(-1)?.reject(new Error("gone"));
      await Promise.all(later);
    },
  };
}

/** An isolate whose snapshot was refreshed a moment ago. */
async function refreshed() {
  const one = isolate();
  const reading = one.read();
  await one.answer();
  await reading;
  return one;
}

describe("an isolate's snapshot", () => {
  it("is awaited by the first call, and has what the boxes reported", async () => {
    const one = isolate();
    const reading = one.read();
    await one.answer();
    const seen = await reading;
    expect(seen.fresh).toBe(true);
    expect(seen.boxes.get("north")?.servers.get(9001)).toEqual({
      state: "ready",
      free: 3,
      places: 62,
      sent: 0,
      waitMs: 500,
    });
  });

  it("is used for two seconds without a request", async () => {
    const one = await refreshed();
    one.pass(2_000);
    expect(one.waits()).toBe(false);
    expect((await one.read()).fresh).toBe(true);
    expect(one.requests).toHaveLength(1);
  });

  it("is used up to ten seconds old while one request refreshes it, and no call is refused because of it", async () => {
    const one = await refreshed();
    one.pass(2_001);
    for (let call = 0; call < 5; call += 1) {
      expect(one.waits()).toBe(false);
      expect((await one.read()).fresh).toBe(false);
    }
    expect(one.requests).toHaveLength(2);
    await one.answer([]);
    expect(await one.read()).toEqual({ boxes: new Map(), fresh: true });
  });

  it("older than that is awaited, by one call at a time, for 100 ms", async () => {
    const one = await refreshed();
    one.pass(10_001);
    const reading = one.read();
    expect(one.waits()).toBe(false);
    // No answer: the call follows the fleet file.
    expect(await reading).toBe(UNKNOWN_FLEET);
    expect(one.requests).toHaveLength(2);
    await one.answer();
    expect((await one.read()).fresh).toBe(true);
  });

  it("is requested again a second after a request that failed, and five after one that was lost", async () => {
    const one = isolate();
    const reading = one.read();
    await one.fail();
    expect(await reading).toBe(UNKNOWN_FLEET);
    expect(await one.read()).toBe(UNKNOWN_FLEET);
    expect(one.requests).toHaveLength(1);
    one.pass(1_000);
    void one.read();
    expect(one.requests).toHaveLength(2);
    one.pass(4_999);
    void one.read();
    expect(one.requests).toHaveLength(2);
    one.pass(1);
    void one.read();
    expect(one.requests).toHaveLength(3);
  });

  it("forgets a box that broke a connection until the next refresh, but not that it drains", async () => {
    const one = await refreshed();
    one.cache.lost("north");
    expect((await one.read()).boxes.get("north")).toBeNull();
    one.pass(2_001);
    void one.read();
    await one.answer([{ ...reportOf({}), drained: true }]);
    one.cache.lost("north");
    one.cache.lost("south");
    expect((await one.read()).boxes.get("north")?.draining).toBe(true);
    expect((await one.read()).boxes.has("south")).toBe(false);
  });

  it("counts the calls that were sent since then", async () => {
    const one = await refreshed();
    one.cache.sent("north", 9001);
    one.cache.sent("north", 9001);
    expect((await one.read()).boxes.get("north")?.servers.get(9001)?.sent).toBe(2);
  });
});

describe("a box", () => {
  const boxOf = (...agents: Partial<LinkedAgent>[]) => boxSnapshots([reportOf(...agents)]).get("north");
  const draining = { ...SNAPSHOT, draining: true };

  it("is null if no agent is linked, or its agent has sent no snapshot yet or is silent", () => {
    expect(boxOf()).toBeNull();
    expect(boxOf({ snapshot: null })).toBeNull();
    expect(boxOf({ lastSeenAgoMs: LINK_SILENT_MS })).toBeNull();
    expect(boxSnapshots([]).get("north")).toBeUndefined();
  });

  it("is no reason to refuse a call if its report is old, however recently it was fetched", () => {
    expect(boxOf({ snapshotAgoMs: 5_000 })?.current).toBe(true);
    expect(boxOf({ snapshotAgoMs: 5_001 })?.current).toBe(false);
  });

  it("is described by the agent that takes calls while another one shuts down", () => {
    const other = { ...SNAPSHOT, servers: [{ ...SERVER, busy: 4 }] };
    expect(boxOf({ snapshot: draining }, { epoch: "e2", snapshot: other })).toMatchObject({
      draining: false,
    });
    expect(boxOf({ leaving: true }, { epoch: "e2", snapshot: other })?.servers.get(9001)?.free).toBe(0);
  });

  it("drains if all its agents do", () => {
    expect(boxOf({ snapshot: draining })?.draining).toBe(true);
    expect(boxOf({ leaving: true })?.draining).toBe(true);
  });

  it("that an operator drained drains, whatever its agent reports, and without a linked agent", () => {
    const drainedBox = (...agents: Partial<LinkedAgent>[]) =>
      boxSnapshots([{ ...reportOf(...agents), drained: true }]).get("north");
    expect(drainedBox({ snapshot: SNAPSHOT })?.draining).toBe(true);
    expect(drainedBox()).toEqual({ draining: true, current: true, servers: new Map() });
  });

  it("has no server that its agent didn't announce", () => {
    expect(boxOf({ ports: [9002] })?.servers.size).toBe(0);
  });
});
