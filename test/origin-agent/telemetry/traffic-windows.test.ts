// Checks the counts and latencies by agent type: exact counts, quantiles within 5 %, bounded size, dropped in time.
import { describe, expect, it } from "vitest";
import { TimeHistogram } from "../../../origin-agent/telemetry/time-histogram.ts";
import { TrafficWindows, type EndedCall } from "../../../origin-agent/telemetry/traffic-windows.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const MINUTE = 60_000;
const ANSWERED: EndedCall = { outcome: "answered", refusal: null, firstByteMs: 100, stream: true, ms: 2_000 };
const refused = (code: "upstream_failed" | "overloaded" | "invalid_request"): EndedCall => ({
  ...ANSWERED,
  outcome: "refused",
  refusal: { code, message: "" },
  firstByteMs: null,
  ms: 1,
});

describe("the windows", () => {
  it("count calls and errors by agent type, an error as ours unless it is the caller's", () => {
    const traffic = new TrafficWindows();
    traffic.ended("Alpha", ANSWERED, MINUTE);
    traffic.ended("Alpha", refused("upstream_failed"), MINUTE);
    traffic.ended("Alpha", refused("overloaded"), MINUTE);
    traffic.ended("Beta", refused("invalid_request"), MINUTE);
    const [minutes, hour] = traffic.windows(2 * MINUTE);
    expect(minutes).toMatchObject({
      windowS: 300,
      coveredS: 120,
      agents: ["Alpha", "Beta"],
      calls: [3, 1],
      ours: [2, 0],
      callers: [0, 1],
      p50Ms: [expect.any(Number), null],
      firstP50Ms: [expect.any(Number), null],
    });
    expect(hour).toMatchObject({ windowS: 3_600, coveredS: 120, calls: [3, 1] });
  });

  it("have no calls after their length, and cover it", () => {
    const traffic = new TrafficWindows();
    traffic.ended("Alpha", ANSWERED, 0);
    expect(traffic.windows(5 * MINUTE).map(({ agents }) => agents)).toEqual([[], ["Alpha"]]);
    expect(traffic.windows(60 * MINUTE)).toMatchObject([
      { agents: [], coveredS: 300 },
      { agents: [], coveredS: 3_600 },
    ]);
  });

  it("an unstreamed answer has no time to the first token", () => {
    const traffic = new TrafficWindows();
    traffic.ended("Alpha", { ...ANSWERED, stream: false }, 0);
    expect(traffic.windows(0)[0]).toMatchObject({ firstP50Ms: [null], p50Ms: [expect.any(Number)] });
  });

  it("sum up the agent types beyond the twenty busiest, and lose no call", () => {
    const traffic = new TrafficWindows();
    for (let agent = 0; agent < 250; agent += 1)
      for (let call = 0; call <= agent; call += 1) traffic.ended(`agent-${agent}`, ANSWERED, 0);
    const [window] = traffic.windows(0);
    expect(window?.agents).toHaveLength(21);
    expect(window?.agents).toContain("other");
    expect(window?.calls.reduce((sum, calls) => sum + calls, 0)).toBe((250 * 251) / 2);
  });
});

it.each(SEEDS)("a quantile is within 5 %% of the exact one (seed %i)", (seed) => {
  const random = new SeededRandom(seed);
  const times = Array.from({ length: 1_000 }, () => 1 + random.next() * 10 ** (1 + random.below(4)));
  const parts = [new TimeHistogram(), new TimeHistogram()];
  for (const [index, ms] of times.entries()) parts[index % 2]?.add(ms);
  const [all, rest] = parts;
  if (all === undefined || rest === undefined) throw new Error("no histogram");
  all.merge(rest);
  const sorted = times.toSorted((a, b) => a - b);
  for (const share of [0.5, 0.95]) {
    const exact = sorted[Math.ceil(share * times.length) - 1] ?? 0;
    // Besides, the result is rounded to a millisecond.
    expect(Math.abs((all.quantile(share) ?? 0) - exact)).toBeLessThanOrEqual(0.05 * exact + 0.5);
  }
});

it("absurd times neither fail nor grow the histogram", () => {
  const histogram = new TimeHistogram();
  for (const ms of [-1, 0, 1e300, Infinity]) histogram.add(ms);
  expect(histogram.quantile(0.5)).toBe(1);
  expect(histogram.quantile(1)).toBeLessThan(1e9);
  expect(new TimeHistogram().quantile(0.5)).toBeNull();
});
