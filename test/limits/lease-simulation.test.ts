// The guarantee of the limits, over many isolates and a bad network: in none of the object's windows is more granted or
// admitted than the limit. And what the limits cost: object calls, requests that wait, tokens that are lost.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { figuresOf, tableOf, type Figures } from "./support/lease-figures.ts";
import { CALM, Simulation, type Plan } from "./support/lease-simulation.ts";

/** Everything besides the subject of a test is as bad as it can be. */
const STORMY = {
  ...CALM,
  forMs: 6_000,
  jitter: 0.9,
  lost: 0.05,
  repeated: 0.05,
  slow: 0.05,
  lagMs: 15,
} satisfies Partial<Plan>;

const TRIPS = [0, 3, 30, 100, 400];

/** Limits and loads of every size, from seeds. */
function plans(more: Partial<Plan>, count: number): Plan[] {
  return Array.from({ length: count }, (_, at) => ({
    ...STORMY,
    seed: 4001 + at * 7919,
    quota: [1, 5, 50, 200, 1_000][at % 5] ?? 1,
    isolates: [1, 2, 10, 50][at % 4] ?? 1,
    perSecond: [1_500, 40, 300][at % 3] ?? 1,
    tripMs: TRIPS[(at * 3 + (at >> 2)) % TRIPS.length] ?? 0,
    ...more,
  }));
}

describe("in none of the object's windows is more granted or admitted than its limit", () => {
  it("over isolates whose clocks agree on nothing and a network that is slow, loses and repeats", () => {
    for (const plan of plans({}, 60)) {
      for (const [number, { granted, admitted }] of new Simulation(plan).run().windows) {
        expect(granted, `granted in ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
        expect(admitted, `admitted in ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
      }
    }
  });

  it("with clocks that step as well: no window is granted twice, no token spent twice", () => {
    for (const plan of plans({ objectSteps: 0.5, isolateSteps: 2 }, 60)) {
      const { windows, granted, admitted } = new Simulation(plan).run();
      for (const [number, record] of windows)
        expect(record.granted, `window ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
      expect(admitted, `seed ${plan.seed}`).toBeLessThanOrEqual(granted);
    }
  });

  it("except for an object that restarts: once more for each restart", () => {
    let over = 0;
    for (const plan of plans({ restarts: 1.5 }, 60)) {
      for (const [number, { granted, restarts }] of new Simulation(plan).run().windows) {
        const allowed = plan.quota * (1 + restarts);
        expect(granted, `window ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(allowed);
        if (granted > plan.quota) over += 1;
      }
    }
    // Otherwise the simulation restarted nothing.
    expect(over).toBeGreaterThan(0);
  });
});

const steady = (more: Pick<Plan, "isolates" | "perSecond" | "tripMs"> & Partial<Plan>): Figures =>
  figuresOf({ ...CALM, seed: 7, quota: 1_000, forMs: 30_000, ...more });

describe("what the limits cost", () => {
  it("is at most 0.03 object calls per request at 1,000 requests/s, through one isolate", () => {
    for (const perSecond of [1_000, 1_500]) {
      for (const even of [false, true]) {
        const { callsPerRequest } = steady({ isolates: 1, perSecond, tripMs: 10, even });
        expect(callsPerRequest, `${perSecond} requests/s`).toBeLessThanOrEqual(0.03);
      }
    }
  });

  it("is at most 0.15 object calls per request at 50 requests/s, through one isolate", () => {
    const { callsPerRequest } = steady({ isolates: 1, perSecond: 50, tripMs: 10 });
    expect(callsPerRequest).toBeLessThanOrEqual(0.15);
  });

  it("leaves at least 98 % of a limit usable, through one isolate or twenty", () => {
    for (const isolates of [1, 4, 10, 20]) {
      for (const tripMs of [0, 10, 30, 100]) {
        const { usedShare } = steady({ isolates, perSecond: 1_500, tripMs });
        expect(usedShare, `${isolates} isolates, ${tripMs} ms`).toBeGreaterThanOrEqual(0.98);
      }
    }
    const { admittedShare } = steady({ isolates: 1, perSecond: 1_000, tripMs: 10 });
    expect(admittedShare).toBeGreaterThanOrEqual(0.98);
  });

  it("is stated in docs/cost.md as it comes out", () => {
    const figures = [1, 4, 20].flatMap((isolates) =>
      [5, 50, 800].flatMap((perSecond) =>
        [5, 50, 200].map((tripMs) => steady({ isolates, perSecond, tripMs, forMs: 60_000 })),
      ),
    );
    const table = tableOf(figures);
    console.log(table);
    const squeezed = (text: string): string => text.replace(/-+/g, "-").replace(/ +/g, " ");
    expect(squeezed(readFileSync("docs/cost.md", "utf8"))).toContain(squeezed(table));
  });
});
