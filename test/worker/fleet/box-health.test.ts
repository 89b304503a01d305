// The boxes' health: requested rarely, accepted only in our own format.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { HEALTH_CACHE_MS, HEALTH_TIMEOUT_MS } from "../../../shared/limits.ts";
import { bestState, fleetHealth, type BoxView } from "../../../worker/fleet/box-health.ts";
import { twoBoxes } from "../support/fleets.ts";
import { SETTINGS } from "../support/forwarding.ts";
import { agentAnswer, boxOf, connectionLost, healthAnswer, fakeFetch, type Sent } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

const { boxes } = twoBoxes();

const statesOf = (views: readonly BoxView[]): (Record<string, string> | null)[] =>
  views.map(({ states }) => (states === null ? null : Object.fromEntries(states)));

describe("the boxes' health", () => {
  it("is what each box reports", async () => {
    const sent = fakeFetch((one) =>
      healthAnswer(boxOf(one), { 9000: boxOf(one) === "north" ? "ready" : "loading" }),
    );
    const views = await fleetHealth(boxes, () => 0)(SETTINGS);
    expect(statesOf(views)).toEqual([{ 9000: "ready" }, { 9000: "loading" }]);
    expect(sent.map(({ url, method }) => `${method} ${url.href}`)).toEqual([
      "GET https://north.example/healthz",
      "GET https://south.example/healthz",
    ]);
  });

  it("is cached for two seconds, and requested again after that", async () => {
    let now = 10_000;
    const sent = fakeFetch((one) => healthAnswer(boxOf(one), { 9000: "ready" }));
    const health = fleetHealth(boxes, () => now);
    await health(SETTINGS);
    now += HEALTH_CACHE_MS - 1;
    await health(SETTINGS);
    expect(sent.length).toBe(2);
    now += 1;
    await health(SETTINGS);
    expect(sent.length).toBe(4);
  });

  it.each<[string, (sent: Sent) => Response]>([
    ["can't be reached", connectionLost],
    ["has another program's page", () => Response.json({ box: "north", version: "1", servers: [] })],
    ["sends no JSON", () => agentAnswer("north", "<html>")],
    ["sends something else", () => agentAnswer("north", '{"status":"ok"}')],
    ["sends an unknown state", () => healthAnswer("north", { 9000: "splendid" })],
  ])("is unknown for a box that %s, and known for the others", async (_, script) => {
    fakeFetch((one) => (boxOf(one) === "north" ? script(one) : healthAnswer("south", { 9000: "ready" })));
    expect(statesOf(await fleetHealth(boxes, () => 0)(SETTINGS))).toEqual([null, { 9000: "ready" }]);
  });

  it.each<[string, (onSilence: () => void) => Response | Promise<Response>]>([
    ["never answers", silent],
    ["stops in the middle of its answer", (onSilence) => agentAnswer("north", halfAnAnswer(onSilence))],
  ])("is unknown for a box that %s, HEALTH_TIMEOUT_MS after it stopped", async (_, script) => {
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
    void fleetHealth(boxes, () => 0)(SETTINGS).then((seen) => (views = seen));
    // The other box has answered, so one timer is left.
    await untilHolds(() => expect([isSilent, sent.length, vi.getTimerCount()]).toEqual([true, 2, 1]));
    await vi.advanceTimersByTimeAsync(HEALTH_TIMEOUT_MS - 1);
    expect(views).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    await untilHolds(() => expect(views).not.toBeNull());
    expect(statesOf(views ?? [])).toEqual([null, { 9000: "ready" }]);
  });
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
