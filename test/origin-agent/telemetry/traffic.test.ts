// Checks the counts of the last five minutes: exact, bounded, and dropped afterwards.
import { describe, expect, it } from "vitest";
import { RecentTraffic } from "../../../origin-agent/telemetry/traffic.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const REPORT = {
  outcome: "answered",
  port: 9001,
  refusal: null,
  queueMs: 0,
  firstByteMs: 100,
  replays: 0,
  continuations: 0,
} as const;
const CALL = { agentType: "Alpha", wantedPort: 9001, stream: true };
const MINUTE = 60_000;

describe("the calls of the last five minutes", () => {
  it("are counted by agent type, with their tokens; an unknown name is `other`", () => {
    const recent = new RecentTraffic(["Alpha", "Beta"]);
    recent.ended(CALL, REPORT, 10, 0);
    recent.ended(CALL, REPORT, null, 20_000);
    recent.ended({ ...CALL, agentType: "Beta" }, REPORT, 5, 30_000);
    recent.ended({ ...CALL, agentType: "Jane Doe" }, REPORT, 1, 30_000);
    expect(recent.traffic(MINUTE)).toMatchObject({
      windowS: 300,
      byAgent: { agents: ["Alpha", "Beta", "other"], calls: [2, 1, 1], tokens: [10, 5, 1] },
      calls: 4,
      failed: 0,
      fallbacks: 0,
      recoveries: 0,
    });
  });

  it("include fallbacks, recoveries, and failures that are not the client's fault", () => {
    const recent = new RecentTraffic(["Alpha"]);
    const refused = (code: "upstream_failed" | "invalid_request" | "overloaded") =>
      ({ ...REPORT, outcome: "refused", refusal: { code, message: "" } }) as const;
    recent.ended(CALL, { ...REPORT, port: 9002 }, 1, 0);
    recent.ended(CALL, { ...REPORT, replays: 1, continuations: 2 }, 1, 0);
    recent.ended(CALL, refused("upstream_failed"), null, 0);
    recent.ended(CALL, refused("invalid_request"), null, 0);
    recent.ended(CALL, refused("overloaded"), null, 0);
    expect(recent.traffic(0)).toMatchObject({ calls: 5, failed: 1, fallbacks: 1, recoveries: 3 });
    expect(recent.continued(9001)).toBe(2);
    expect(recent.continued(9002)).toBe(0);
  });

  it("are dropped after five minutes", () => {
    const recent = new RecentTraffic(["Alpha"]);
    recent.ended(CALL, REPORT, 10, 0);
    expect(recent.traffic(5 * MINUTE - 1).calls).toBe(1);
    expect(recent.traffic(5 * MINUTE).calls).toBe(0);
    expect(recent.firstToken(9001, 5 * MINUTE)).toEqual({ p50Ms: null, p95Ms: null });
  });

  it("include each server's first-token times, null if there are none", () => {
    const recent = new RecentTraffic(["Alpha"]);
    for (let ms = 1; ms <= 100; ms += 1) recent.ended(CALL, { ...REPORT, firstByteMs: ms }, 1, 0);
    recent.ended(CALL, { ...REPORT, port: 9002, firstByteMs: null }, 1, 0);
    // An unstreamed answer arrives with its last token.
    recent.ended({ ...CALL, stream: false }, { ...REPORT, firstByteMs: 60_000 }, 1, 0);
    expect(recent.firstToken(9001, 0)).toEqual({ p50Ms: 50, p95Ms: 95 });
    expect(recent.firstToken(9002, 0)).toEqual({ p50Ms: null, p95Ms: null });
  });

  it.each(SEEDS)("add up, and fit a small frame however many calls there are (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const names = ["Alpha", "Beta", "Gamma"];
    const recent = new RecentTraffic(names);
    const ended: number[] = [];
    let now = 0;
    for (let call = 0; call < 2_000; call += 1) {
      now += random.below(1_000);
      recent.ended({ ...CALL, agentType: random.pick([...names, "x"]) }, REPORT, random.below(100), now);
      ended.push(now);
    }
    const reported = recent.traffic(now);
    const younger = (ms: number): number => ended.filter((at) => now - at < ms).length;
    expect(reported.calls).toBeGreaterThanOrEqual(younger(5 * MINUTE - 10_000));
    expect(reported.calls).toBeLessThanOrEqual(younger(5 * MINUTE));
    expect(reported.byAgent.calls.reduce((sum, calls) => sum + calls, 0)).toBe(reported.calls);
    expect(JSON.stringify(reported).length).toBeLessThan(1_000);
  });
});
