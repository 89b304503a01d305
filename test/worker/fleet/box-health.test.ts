// The states of the boxes' servers: from the fleet snapshot, whatever the number of callers. Only a box that never linked
// is polled.
import type { Context } from "hono";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { HEALTH_POLL_MS, LINK_SILENT_MS } from "../../../shared/limits.ts";
import type { EdgeEnv } from "../../../worker/context.ts";
import { bestState, fleetHealth, type BoxView } from "../../../worker/fleet/box-health.ts";
import type { BoxReport } from "../../../worker/fleet/object/box-reports.ts";
import { SnapshotCache } from "../../../worker/fleet/snapshot-cache.ts";
import { linkedAgent, linkServer, readSnapshot } from "../support/agents.ts";
import { captureLog, edgeOf } from "../support/edge.ts";
import { box, fleetOf, server, twoBoxes } from "../support/fleets.ts";
import { SETTINGS } from "../support/forwarding.ts";
import { agentAnswer, boxOf, connectionLost, healthAnswer, fakeFetch, type Sent } from "../support/origin.ts";
import { reportOf, reportingFleet } from "../support/reports.ts";
import { untilHolds } from "../support/until.ts";

const { boxes } = twoBoxes();

const statesOf = (views: readonly BoxView[]): (Record<string, string> | null)[] =>
  views.map(({ states }) => (states === null ? null : Object.fromEntries(states)));

/** An isolate's view of the boxes, as a request reads it. */
function isolate(reports: readonly BoxReport[] | null) {
  let now = 10_000;
  const clock = (): number => now;
  const health = fleetHealth(boxes, new SnapshotCache(clock), clock);
  const later: Promise<unknown>[] = [];
  const context = {
    env: { FLEET: reportingFleet(reports) },
    executionCtx: { waitUntil: (work: Promise<unknown>) => void later.push(work) },
    get: () => SETTINGS,
  } as unknown as Context<EdgeEnv>;
  return { view: async () => health(context), pass: (ms: number) => void (now += ms), later };
}

describe("the states of a linked box", () => {
  it("are those of its snapshot: a slow server is ready, a stalled one down", async () => {
    const sent = fakeFetch(connectionLost);
    const states = { 9000: "slow", 9001: "stalled" };
    const { view } = isolate([
      reportOf("north", states),
      reportOf("south", { 9000: "loading", 9001: "down" }),
    ]);
    expect(statesOf(await view())).toEqual([
      { 9000: "ready", 9001: "down" },
      { 9000: "loading", 9001: "down" },
    ]);
    expect(sent).toEqual([]);
  });

  it("are none if it drains, by its agent or an operator, and null if it is silent; no box is called", async () => {
    const sent = fakeFetch(() => healthAnswer("south", { 9000: "ready" }));
    const drained = { ...reportOf("north", { 9000: "ready" }), drained: true };
    const silent = linkedAgent({ lastSeenAgoMs: LINK_SILENT_MS });
    const { view } = isolate([drained, { ...reportOf("south", {}), agents: [silent] }]);
    expect(statesOf(await view())).toEqual([{}, null]);
    const leaving = linkedAgent({
      leaving: true,
      snapshot: readSnapshot(1, { servers: [linkServer(9000)] }),
    });
    const closed = isolate([
      { ...reportOf("north", {}), agents: [leaving] },
      { ...reportOf("south", {}), agents: [] },
    ]);
    expect(statesOf(await closed.view())).toEqual([{}, null]);
    expect(sent).toEqual([]);
  });

  it("are down for a server whose slots aren't known yet", async () => {
    const report = reportOf("north", {});
    const snapshot = readSnapshot(1, { servers: [linkServer(9000, { slots: 0, busy: 0 })] });
    const { view } = isolate([{ ...report, agents: [linkedAgent({ ports: [9000], snapshot })] }]);
    fakeFetch(connectionLost);
    expect(statesOf(await view())[0]).toEqual({ 9000: "down" });
  });
});

describe("the states of a box that never linked", () => {
  it("are what it reports itself, also while the fleet object doesn't answer", async () => {
    for (const reports of [[], null]) {
      const sent = fakeFetch((one) =>
        healthAnswer(boxOf(one), { 9000: boxOf(one) === "north" ? "ready" : "loading" }),
      );
      expect(statesOf(await isolate(reports).view())).toEqual([{ 9000: "ready" }, { 9000: "loading" }]);
      expect(sent.map(({ url, method }) => `${method} ${url.href}`).toSorted()).toEqual([
        "GET https://north.example/healthz",
        "GET https://south.example/healthz",
      ]);
    }
  });

  it("are polled once in three seconds for all callers, those that come meanwhile included", async () => {
    const sent = fakeFetch((one) => healthAnswer(boxOf(one), { 9000: "ready" }));
    const { view, pass } = isolate([reportOf("north", { 9000: "ready" })]);
    await view();
    pass(HEALTH_POLL_MS);
    const all = await Promise.all(Array.from({ length: 100 }, view));
    for (const views of all) expect(statesOf(views)[1]).toEqual({ 9000: "ready" });
    pass(HEALTH_POLL_MS - 1);
    await view();
    expect(sent.map(boxOf)).toEqual(["south", "south"]);
    pass(1);
    await view();
    expect(sent.map(boxOf)).toEqual(["south", "south", "south"]);
  });

  it.each<[string, (sent: Sent) => Response]>([
    ["can't be reached", connectionLost],
    ["has another program's page", () => Response.json({ box: "north", version: "1", servers: [] })],
    ["sends no JSON", () => agentAnswer("north", "<html>")],
    ["sends something else", () => agentAnswer("north", '{"status":"ok"}')],
    ["sends an unknown state", () => healthAnswer("north", { 9000: "splendid" })],
  ])("are null if it %s, and known for the others", async (_, script) => {
    fakeFetch((one) => (boxOf(one) === "north" ? script(one) : healthAnswer("south", { 9000: "ready" })));
    expect(statesOf(await isolate([]).view())).toEqual([null, { 9000: "ready" }]);
  });

  it.each<[string, (onSilence: () => void) => Response | Promise<Response>]>([
    ["never answers", silent],
    ["stops in the middle of its answer", (onSilence) => agentAnswer("north", halfAnAnswer(onSilence))],
  ])("are null if it %s, after HEALTH_POLL_MS", async (_, script) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    let isSilent = false;
    const sent = fakeFetch((one) =>
      boxOf(one) === "north"
        ? script(() => void (isSilent = true))
        : healthAnswer("south", { 9000: "ready" }),
    );
    let views: readonly BoxView[] | null = null;
    void isolate([])
      .view()
      .then((seen) => (views = seen));
    await untilHolds(() => expect([isSilent, sent.length]).toEqual([true, 2]));
    await vi.advanceTimersByTimeAsync(HEALTH_POLL_MS - 1);
    expect(views).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    await untilHolds(() => expect(views).not.toBeNull());
    expect(statesOf(views ?? [])).toEqual([null, { 9000: "ready" }]);
  });
});

it("a hundred requests at once to /healthz and /v1/models call each box at most once, the next hundred none", async () => {
  captureLog();
  const names = Array.from({ length: 10 }, (_, at) => `box${at}`);
  const sent = fakeFetch(connectionLost);
  const reads = vi.fn(async () => names.map((name) => reportOf(name, { 9000: "ready" })));
  const fleet = fleetOf({ boxes: names.map((name) => box(name, [server(9000)])) });
  const FLEET = { getByName: () => ({ boxes: reads }) } as never;
  const edge = edgeOf(fleet, { bindings: { FLEET } });
  const requests = Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? "/healthz" : "/v1/models"));
  const flood = async () => Promise.all(requests.map(async (path) => edge(path)));
  await flood();
  // Only the isolate's first request waits for the snapshot.
  expect(sent.length).toBeLessThanOrEqual(10);
  sent.length = 0;
  expect(new Set((await flood()).map(({ status }) => status))).toEqual(new Set([200]));
  expect(sent).toEqual([]);
  expect(reads).toHaveBeenCalledTimes(1);
});

describe("the best state of several servers", () => {
  const [north, south] = boxes;
  const views = (first: Record<number, string> | null, second: Record<number, string> | null): BoxView[] =>
    [first, second].map((states, at) => ({
      box: (at === 0 ? north : south) ?? boxes[0]!,
      states:
        states === null
          ? null
          : (new Map(
              Object.entries(states).map(([port, state]) => [Number(port), state]),
            ) as BoxView["states"]),
    }));
  const of9001 = ({ port }: { port: number }): boolean => port === 9001;

  it.each<[string, Record<number, string> | null, Record<number, string> | null]>([
    ["ready", { 9001: "down" }, { 9001: "ready" }],
    ["ready", null, { 9001: "ready" }],
    ["loading", { 9001: "loading" }, { 9001: "down" }],
    ["loading", { 9001: "loading" }, null],
    ["down", { 9001: "down" }, {}],
    ["down", { 9000: "ready" }, { 9000: "ready" }],
    ["down", null, null],
  ])("is %s for %j and %j", (best, first, second) => {
    expect(bestState(views(first, second), of9001)).toBe(best);
  });

  it("without a match is down", () => {
    expect(bestState(views({ 9001: "ready" }, { 9001: "ready" }), () => false)).toBe("down");
  });
});

async function silent(onSilence: () => void): Promise<never> {
  onSilence();
  return new Promise(() => {});
}

/** The beginning of an answer, and then nothing. */
function halfAnAnswer(onSilence: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(new TextEncoder().encode('{"box":"north","version":')),
      // More is requested, so the beginning has been read.
      async pull() {
        onSilence();
        return new Promise<void>(() => {});
      },
    },
    { highWaterMark: 0 },
  );
}
