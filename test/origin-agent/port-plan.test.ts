import { describe, expect, it } from "vitest";
import { nextStep, type PlanInput, type PortFate, type Step } from "../../origin-agent/port-plan.ts";
import { LOAD_POLL_MS, LOAD_WAIT_MS } from "../../shared/limits.ts";
import { SEEDS, SeededRandom } from "../shared/seeded-random.ts";

const CALL: PlanInput = { wantedPort: 1, ports: [1, 2], fallbackPorts: [3, 4] };

type Fates = readonly (readonly [number, PortFate])[];

const step = (fates: Fates, waitedMs = 0, call = CALL): Step => nextStep(call, new Map(fates), waitedMs);

/** A step in a word or two: `try 3`, `wait 1,2`, `refuse overloaded`. */
function words(what: Step): string {
  switch (what.kind) {
    case "try":
      return `try ${what.port}`;
    case "wait":
      return `wait ${what.ports.join(",")}`;
    case "refuse":
      return `refuse ${what.refusal.code}`;
  }
}

describe("the next step of a call", () => {
  it.each<[string, Fates, number, string]>([
    ["the first port, where nothing is known", [], 0, "try 1"],
    ["its replica, where the first refuses", [[1, "refused"]], 0, "try 2"],
    ["its replica at once, where the first loads", [[1, "loading"]], 0, "try 2"],
    ["its replica, where the first is full", [[1, "full"]], 0, "try 2"],
    [
      "the one that loads, where its replica refuses",
      [
        [1, "loading"],
        [2, "refused"],
      ],
      0,
      "wait 1",
    ],
    [
      "both, where both load",
      [
        [1, "loading"],
        [2, "loading"],
      ],
      100,
      "wait 1,2",
    ],
    [
      "still the one that loads, just before loadWait is over",
      [
        [1, "loading"],
        [2, "refused"],
      ],
      LOAD_WAIT_MS - 1,
      "wait 1",
    ],
    [
      "a fallback, once loadWait is over",
      [
        [1, "loading"],
        [2, "refused"],
      ],
      LOAD_WAIT_MS,
      "try 3",
    ],
    [
      "a fallback, where all that may serve refuse",
      [
        [1, "refused"],
        [2, "refused"],
      ],
      0,
      "try 3",
    ],
    [
      "the second fallback, where the first loads: that one isn't waited for",
      [
        [1, "refused"],
        [2, "refused"],
        [3, "loading"],
      ],
      0,
      "try 4",
    ],
    [
      "the second fallback, where the first is full",
      [
        [1, "refused"],
        [2, "refused"],
        [3, "full"],
      ],
      0,
      "try 4",
    ],
    [
      "a refusal, where one that may serve is full: a fallback is for one that isn't up",
      [
        [1, "refused"],
        [2, "full"],
      ],
      0,
      "refuse overloaded",
    ],
    [
      "a refusal, where one is full and its replica loads",
      [
        [1, "full"],
        [2, "loading"],
      ],
      0,
      "refuse overloaded",
    ],
    [
      "a refusal, where nothing is up",
      [
        [1, "refused"],
        [2, "refused"],
        [3, "refused"],
        [4, "refused"],
      ],
      0,
      "refuse model_unavailable",
    ],
    [
      "a refusal, where one loads longer than loadWait",
      [
        [1, "loading"],
        [2, "refused"],
        [3, "refused"],
        [4, "refused"],
      ],
      LOAD_WAIT_MS,
      "refuse model_loading",
    ],
    [
      "a refusal, where only a fallback loads",
      [
        [1, "refused"],
        [2, "refused"],
        [3, "refused"],
        [4, "loading"],
      ],
      0,
      "refuse model_loading",
    ],
    [
      "a refusal, where only a fallback is full",
      [
        [1, "refused"],
        [2, "refused"],
        [3, "full"],
        [4, "refused"],
      ],
      0,
      "refuse overloaded",
    ],
  ])("is %s", (_what, fates, waitedMs, expected) => {
    expect(words(step(fates, waitedMs))).toBe(expected);
  });

  it("is a refusal at once for a call without ports, and the fallback for one with nothing else", () => {
    expect(words(step([], 0, { ...CALL, ports: [], fallbackPorts: [] }))).toBe("refuse model_unavailable");
    expect(words(step([], 0, { ...CALL, ports: [] }))).toBe("try 3");
  });

  it("is never a wait beyond the end of loadWait", () => {
    const fates: Fates = [
      [1, "loading"],
      [2, "refused"],
    ];
    expect(step(fates, 0)).toMatchObject({ kind: "wait", ms: LOAD_POLL_MS });
    expect(step(fates, LOAD_WAIT_MS - 7)).toMatchObject({ kind: "wait", ms: 7 });
  });

  it("says when to ask again, what to do, and for the log what was tried", () => {
    const refused = step([
      [1, "refused"],
      [2, "refused"],
      [3, "loading"],
      [4, "refused"],
    ]);
    expect(refused).toMatchObject({
      refusal: { retryAfterMs: 5000, internal: "1 refused, 2 refused, 3 loading, 4 refused" },
    });
    expect(refused.kind === "refuse" && refused.refusal.message).toContain("port 1");
  });

  it("blames the port that was asked for with being full only where it is that one", () => {
    const refused = step([
      [1, "refused"],
      [2, "refused"],
      [3, "full"],
      [4, "refused"],
    ]);
    const message = refused.kind === "refuse" ? refused.refusal.message : "";
    expect(message).not.toContain("wait for the model on port 1 ");
  });
});

/** How each port will be found, again and again: what a call meets that follows the plan to its end. */
function followPlan(random: SeededRandom): { steps: Step[]; call: PlanInput; end: string } {
  const all = random.shuffled([1, 2, 3, 4, 5, 6]);
  const ports = all.slice(0, random.below(4));
  const call = { wantedPort: ports[0] ?? 1, ports, fallbackPorts: all.slice(3, 3 + random.below(4)) };
  const nature = new Map(
    all.map((port) => [port, random.pick(["refused", "loading", "full", "ready"] as const)]),
  );
  const fates = new Map<number, PortFate>();
  const triedIn = new Map<number, number>();
  const steps: Step[] = [];
  let waited = 0;
  let changes = 0;
  for (;;) {
    const next = nextStep(call, fates, waited);
    steps.push(next);
    if (steps.length > 5000) throw new Error("the plan never ends");
    if (next.kind === "refuse") return { steps, call, end: next.refusal.code };
    if (next.kind === "try") {
      // Only a port that was seen to change may be tried again.
      expect(triedIn.get(next.port) ?? -1).toBeLessThan(changes);
      triedIn.set(next.port, changes);
      const found = nature.get(next.port) ?? "refused";
      if (found === "ready") return { steps, call, end: `served by ${next.port}` };
      fates.set(next.port, found);
    } else {
      waited += next.ms;
      for (const port of next.ports) {
        if (!random.chance(0.02)) continue;
        changes += 1;
        const change = random.pick(["ready", "refused", "flickers"] as const);
        if (change === "refused") fates.set(port, "refused");
        else fates.delete(port);
        if (change !== "flickers") nature.set(port, change);
      }
    }
  }
}

describe("a call that follows the plan", () => {
  it.each(SEEDS)("comes to an end and tries no port twice that hasn't changed (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) expect(followPlan(random).end).toMatch(/^\w/);
  });

  it.each(SEEDS)("tries only ports it was given, fallbacks after all that may serve (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const { steps, call } = followPlan(random);
      const tries = steps.flatMap((next) => (next.kind === "try" ? [next.port] : []));
      for (const port of tries) expect([...call.ports, ...call.fallbackPorts]).toContain(port);
      const firstFallback = tries.findIndex((port) => call.fallbackPorts.includes(port));
      if (firstFallback >= 0) expect(new Set(tries.slice(0, firstFallback))).toEqual(new Set(call.ports));
    }
  });

  it.each(SEEDS)(
    "never falls back while a port that may serve loads and loadWait isn't over (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      for (let round = 0; round < 500; round += 1) {
        const fates = new Map(
          [1, 2, 3, 4].flatMap((port) =>
            random.chance(0.8) ? [[port, random.pick(["refused", "loading", "full"] as const)] as const] : [],
          ),
        );
        const waited = random.below(LOAD_WAIT_MS);
        const next = nextStep(CALL, fates, waited);
        const loads = CALL.ports.some((port) => fates.get(port) === "loading");
        if (loads && next.kind === "try") expect(CALL.ports).toContain(next.port);
        if (next.kind === "try") expect(fates.has(next.port)).toBe(false);
        if (next.kind === "wait") for (const port of next.ports) expect(fates.get(port)).toBe("loading");
      }
    },
  );
});
