// What wakes somebody: one message when it begins to count, one when it is over, none in between.
import { describe, expect, it } from "vitest";
import {
  ADVICE,
  ALARM_AFTER_MS,
  BEHIND_MS,
  CALM_MS,
  HOT_C,
  LOOP_WINDOW_MS,
  look,
  NO_ALARMS,
  raised,
  type AlarmState,
  type WatchedBox,
} from "../../../../worker/fleet/alarms/conditions.ts";
import { seeded } from "../../support/random.ts";

const START = 1_800_000_000_000;
const STEP_MS = 5_000;

const SERVER = { port: 9001, model: "Model-9001", state: "ready", why: "", restarts: 0 } as const;

function boxOf(now: number, more: Partial<WatchedBox> = {}): WatchedBox {
  return {
    name: "north",
    lastSeenAt: now,
    reporting: true,
    draining: false,
    servers: [SERVER],
    temperatureC: 60,
    usageBehindMs: null,
    journal: "ok",
    calls: 0,
    failed: 0,
    ...more,
  };
}

/** Looks every five seconds at what a box says at that time; what was told, with when after the start. */
function watch(
  forMs: number,
  said: (atMs: number) => Partial<WatchedBox>,
  from: AlarmState = NO_ALARMS,
): { told: string[]; state: AlarmState } {
  let state = from;
  const told: string[] = [];
  for (let at = 0; at <= forMs; at += STEP_MS) {
    const seen = look(state, [boxOf(START + at, said(at))], START + at);
    state = seen.state;
    told.push(...seen.news.map((one) => `${at / 1000} s: ${one.id} ${one.state}`));
  }
  return { told, state };
}

const server = (more: Partial<WatchedBox["servers"][number]>): Partial<WatchedBox> => ({
  servers: [{ ...SERVER, ...more }],
});

describe("an alarm is told once when it counts, and once when it is over", () => {
  it("a box that says nothing for a minute", () => {
    const silent = (at: number): Partial<WatchedBox> =>
      at > 10_000 && at < 120_000 ? { lastSeenAt: START + 10_000 } : {};
    expect(watch(300_000, silent).told).toEqual([
      "70 s: box-silent:north raised",
      "135 s: box-silent:north recovered",
    ]);
  });

  it("a box that was never heard of, a minute after the first look", () => {
    const never = { lastSeenAt: null, reporting: false, servers: [] };
    expect(watch(120_000, () => never).told).toEqual(["60 s: box-silent:north raised"]);
  });

  it.each(["down", "loading", "stalled"] as const)("a server that is %s for two minutes", (state) => {
    const told = watch(300_000, (at) => (at >= 10_000 && at < 200_000 ? server({ state }) : {})).told;
    expect(told).toEqual(["130 s: not-ready:north:9001 raised", "215 s: not-ready:north:9001 recovered"]);
  });

  it("a server that is slow for a minute, with the cause in its words", () => {
    let state = NO_ALARMS;
    for (let at = 0; at <= 60_000; at += STEP_MS) {
      const box = boxOf(START + at, server({ state: "slow", why: "it holds no GPU memory" }));
      state = look(state, [box], START + at).state;
    }
    expect(raised(state)).toEqual([
      {
        id: "slow:north:9001",
        kind: "slow",
        state: "raised",
        text: "Model-9001 on north:9001 is slow: it holds no GPU memory.",
        advice: ADVICE.slow,
        since: START,
      },
    ]);
  });

  it("a server restarted three times within ten minutes, until none of them is that young", () => {
    const told = watch(LOOP_WINDOW_MS * 2, (at) =>
      server({ restarts: at < 60_000 ? 4 : at < 120_000 ? 5 : at < 180_000 ? 6 : 7 }),
    ).told;
    expect(told[0]).toBe("180 s: restart-loop:north:9001 raised");
    expect(told).toHaveLength(2);
    expect(told[1]).toContain("restart-loop:north:9001 recovered");
  });

  it.each<[string, Partial<WatchedBox>, string]>([
    ["a card that is hot for a minute", { temperatureC: HOT_C }, "60 s: heat:north raised"],
    ["a fifth of the calls failing", { calls: 20, failed: 4 }, "0 s: errors:north raised"],
    ["usage that waits too long", { usageBehindMs: BEHIND_MS }, "0 s: usage-behind:north raised"],
    ["a journal that is full", { journal: "full" }, "0 s: usage-behind:north raised"],
  ])("%s", (_what, said, first) => {
    const { told } = watch(120_000, (at) => (at <= 60_000 ? said : {}));
    const [id = ""] = first.split(" raised")[0]?.split(": ").slice(1) ?? [];
    expect(told).toEqual([first, `${(65_000 + CALM_MS) / 1000} s: ${id} recovered`]);
  });
});

describe("nobody is woken", () => {
  it.each<[string, (at: number) => Partial<WatchedBox>]>([
    ["by a fleet that is well", () => ({})],
    [
      "by a restart that is over in time",
      (at) => (at < 110_000 ? server({ state: "loading", restarts: 1 }) : {}),
    ],
    [
      "by a server or a box that an operator drained",
      () => ({ draining: true, ...server({ state: "down" }) }),
    ],
    ["by a server that is drained", () => server({ state: "draining" })],
    ["by two restarts", (at) => server({ restarts: Math.min(2, Math.floor(at / 60_000)) })],
    ["by PM2 counting anew", (at) => server({ restarts: at < 60_000 ? 9 : 0 })],
    ["by a few calls, however they end", () => ({ calls: 19, failed: 19 })],
    ["by figures that nobody knows", () => ({ temperatureC: null, ...server({ restarts: null }) })],
  ])("%s", (_what, said) => {
    expect(watch(300_000, said).told).toEqual([]);
  });

  it("twice by a condition that comes and goes", () => {
    const flaps = (at: number): Partial<WatchedBox> =>
      at % 10_000 === 0 || at < 70_000 ? { temperatureC: HOT_C } : {};
    expect(watch(200_000, flaps).told).toEqual(["60 s: heat:north raised"]);
  });

  it("by the end of an alarm whose box merely fell silent, nor later than in time by a link that breaks", () => {
    const speechless = (at: number): Partial<WatchedBox> => ({
      lastSeenAt: START + at - 5_000,
      reporting: false,
      servers: [],
      temperatureC: null,
    });
    const down = server({ state: "down" });
    const silent = watch(400_000, (at) =>
      at > 150_000 && at < 300_000 ? { ...speechless(at), lastSeenAt: START + 150_000 } : down,
    );
    expect(silent.told).toEqual([
      "120 s: not-ready:north:9001 raised",
      "210 s: box-silent:north raised",
      "315 s: box-silent:north recovered",
    ]);
    // A link that breaks every half minute.
    const flaky = watch(130_000, (at) => (at % 30_000 === 25_000 ? speechless(at) : down));
    expect(flaky.told).toEqual(["120 s: not-ready:north:9001 raised"]);
  });

  it("again by what they were told of, where the state was kept over a restart", () => {
    const down = (): Partial<WatchedBox> => server({ state: "down" });
    const before = watch(200_000, down);
    expect(before.told).toHaveLength(1);
    const kept = JSON.parse(JSON.stringify(before.state)) as AlarmState;
    expect(watch(200_000, down, kept).told).toEqual([]);
  });
});

it("whatever happens, raised and recovered alternate, nothing is told before its time, and what is kept is bounded", () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = seeded(seed);
    let state = NO_ALARMS;
    const last = new Map<string, string>();
    for (let step = 0; step < 300; step += 1) {
      const now = START + step * STEP_MS;
      const { state: next, news } = look(
        state,
        [
          boxOf(now, {
            lastSeenAt: random.chance(0.9) ? now : START,
            temperatureC: random.pick([null, 50, 95]),
            calls: random.whole(0, 50),
            failed: random.whole(0, 20),
            ...server({
              state: random.pick(["ready", "down", "slow"] as const),
              restarts: random.whole(0, 5),
            }),
            ...(random.chance(0.9) ? {} : { reporting: false, servers: [], temperatureC: null, calls: 0 }),
          }),
        ],
        now,
      );
      state = next;
      for (const one of news) {
        expect(last.get(one.id) ?? "recovered", `seed ${seed}`).not.toBe(one.state);
        last.set(one.id, one.state);
        if (one.state === "raised") expect(now - one.since).toBeGreaterThanOrEqual(ALARM_AFTER_MS[one.kind]);
      }
      expect(Object.keys(state.standing).length).toBeLessThan(10);
      expect(JSON.stringify(state).length).toBeLessThan(2_000);
    }
  }
});
