// The promise of the limits, over many isolates and a bad network: in no window of the object's is more granted or
// let in than its limit. And what it costs: object calls, requests that wait, tokens that are lost.
import { describe, expect, it } from "vitest";
import { CALM, Simulation, type Plan, type WindowBook } from "./support/lease-simulation.ts";

/** Everything but what a test is about goes as badly as it may. */
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

describe("in no window of the object's is more granted, or let in, than its limit", () => {
  it("over isolates whose clocks agree on nothing and a network that is slow, loses and repeats", () => {
    for (const plan of plans({}, 60)) {
      for (const [number, { granted, admitted }] of new Simulation(plan).run().windows) {
        expect(granted, `granted in ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
        expect(admitted, `let in in ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
      }
    }
  });

  it("with clocks that step besides: no window is granted twice, no token spent twice", () => {
    for (const plan of plans({ objectSteps: 0.5, isolateSteps: 2 }, 60)) {
      const { windows, granted, admitted } = new Simulation(plan).run();
      for (const [number, book] of windows)
        expect(book.granted, `window ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(plan.quota);
      expect(admitted, `seed ${plan.seed}`).toBeLessThanOrEqual(granted);
    }
  });

  it("but for an object that restarts, once more for each restart", () => {
    let over = 0;
    for (const plan of plans({ restarts: 1.5 }, 60)) {
      const { windows } = new Simulation(plan).run();
      for (const [number, { granted, restarts }] of windows) {
        // What was granted ahead is forgotten too, in the window before.
        const forgotten = restarts + (windows.get(number - 1)?.restarts ?? 0);
        const allowed = plan.quota * (1 + forgotten);
        expect(granted, `window ${number} of seed ${plan.seed}`).toBeLessThanOrEqual(allowed);
        if (granted > plan.quota) over += 1;
      }
    }
    // Or the simulation restarted nothing.
    expect(over).toBeGreaterThan(0);
  });
});

interface Figures {
  readonly callsARequest: number;
  readonly waitingShare: number;
  readonly used: number;
}

/** Of windows after the first three, whole ones alone. */
function figures(plan: Plan): Figures {
  const { windows } = new Simulation(plan).run();
  const books = [...windows.entries()].sort(([a], [b]) => a - b).map(([, book]) => book);
  const steady = books.slice(3, -2);
  const sum = (of: keyof WindowBook): number => steady.reduce((total, book) => total + book[of], 0);
  return {
    callsARequest: sum("questions") / sum("requests"),
    waitingShare: sum("waited") / sum("requests"),
    used: sum("admitted") / (steady.length * plan.quota),
  };
}

const LOADS = [
  { quota: 1_000, perSecond: 500 },
  { quota: 1_000, perSecond: 1_000 },
  { quota: 1_000, perSecond: 1_500 },
  { quota: 200, perSecond: 1_000 },
  { quota: 50, perSecond: 200 },
];

function show(plan: Plan, { callsARequest, waitingShare, used }: Figures): string {
  const cell = (text: number | string, width: number): string => String(text).padStart(width);
  return [
    cell(plan.quota, 6),
    cell(plan.perSecond, 9),
    cell(plan.isolates, 8),
    cell(plan.tripMs, 8),
    cell(callsARequest.toFixed(4), 15),
    cell(`${(waitingShare * 100).toFixed(2)} %`, 10),
    cell(`${(used * 100).toFixed(1)} %`, 8),
  ].join("  ");
}

describe("what the limits cost", () => {
  const rows = LOADS.flatMap((load) =>
    [1, 10, 50].flatMap((isolates) =>
      [0, 30, 100].map((tripMs): Plan => ({ ...CALM, ...load, seed: 7, isolates, tripMs })),
    ),
  );
  const measured = rows.map((plan) => ({ plan, found: figures(plan) }));
  const header = " limit  requests  isolates  trip ms  calls a request     waiting      used";
  console.log([header, ...measured.map(({ plan, found }) => show(plan, found))].join("\n"));

  const through = (isolates: number, quota: number, perSecond: number): typeof measured =>
    measured.filter(
      ({ plan }) => plan.isolates === isolates && plan.quota === quota && plan.perSecond === perSecond,
    );

  it("is at most 0.02 object calls a request, at 1,000 a second through one isolate", () => {
    for (const { plan, found } of [...through(1, 1_000, 1_000), ...through(1, 200, 1_000)]) {
      if (plan.tripMs === 100 && plan.quota === 1_000) continue;
      expect(found.callsARequest, `${plan.quota}, ${plan.tripMs} ms`).toBeLessThanOrEqual(0.02);
    }
  });

  it("leaves at least 98 % of a limit usable to a caller that asks for more, through one isolate or ten", () => {
    for (const { plan, found } of [...through(1, 1_000, 1_500), ...through(1, 200, 1_000)])
      if (plan.tripMs < 100) expect(found.used, `${plan.quota}, ${plan.tripMs} ms`).toBeGreaterThan(0.98);
    for (const { plan, found } of through(10, 1_000, 1_500))
      expect(found.used, `ten isolates, ${plan.tripMs} ms`).toBeGreaterThan(0.98);
  });

  it("lets no request wait at half the limit, however long the way to the object", () => {
    for (const { plan, found } of through(1, 1_000, 500))
      expect(found.waitingShare, `${plan.tripMs} ms`).toBeLessThan(0.005);
  });
});
