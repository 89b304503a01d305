// The alarms: one message when an alarm is raised, one when it has recovered, none in between.
import { describe, expect, it } from "vitest";
import {
  ALARM_AFTER_MS,
  BEHIND_MS,
  CALM_MS,
  evaluate,
  HOT_C,
  LOOP_WINDOW_MS,
  NO_ALARMS,
  raisedAlarms,
  type AlarmState,
  type WatchedBox,
} from "../../../../worker/fleet/alarms/conditions.ts";
import { adviceOf, type AlarmKind } from "../../../../worker/fleet/alarms/advice.ts";
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
    drainedAt: null,
    servers: [SERVER],
    temperatureC: 60,
    usageBehindMs: null,
    journal: "ok",
    calls: 0,
    failed: 0,
    ...more,
  };
}

/** Evaluates a box's status every five seconds; returns the messages, each with its time after the start. */
function watch(
  forMs: number,
  statusAt: (atMs: number) => Partial<WatchedBox>,
  from: AlarmState = NO_ALARMS,
): { messages: string[]; state: AlarmState } {
  let state = from;
  const messages: string[] = [];
  for (let at = 0; at <= forMs; at += STEP_MS) {
    const result = evaluate(state, [boxOf(START + at, statusAt(at))], START + at);
    state = result.state;
    messages.push(...result.messages.map((one) => `${at / 1000} s: ${one.id} ${one.state}`));
  }
  return { messages, state };
}

const server = (more: Partial<WatchedBox["servers"][number]>): Partial<WatchedBox> => ({
  servers: [{ ...SERVER, ...more }],
});

describe("an alarm has one message when it is raised and one when it has recovered:", () => {
  it("a box that doesn't report for a minute", () => {
    const silent = (at: number): Partial<WatchedBox> =>
      at > 10_000 && at < 120_000 ? { lastSeenAt: START + 10_000 } : {};
    expect(watch(300_000, silent).messages).toEqual([
      "70 s: box-silent:north raised",
      "135 s: box-silent:north recovered",
    ]);
  });

  it("a box that has never reported, a minute after the first evaluation", () => {
    const never = { lastSeenAt: null, reporting: false, servers: [] };
    expect(watch(120_000, () => never).messages).toEqual(["60 s: box-silent:north raised"]);
  });

  it.each(["down", "loading", "stalled"] as const)("a server that is %s for two minutes", (state) => {
    const { messages } = watch(300_000, (at) => (at >= 10_000 && at < 200_000 ? server({ state }) : {}));
    expect(messages).toEqual(["130 s: not-ready:north:9001 raised", "215 s: not-ready:north:9001 recovered"]);
  });

  it("a server that is slow for a minute, with its reason in the text", () => {
    let state = NO_ALARMS;
    for (let at = 0; at <= 60_000; at += STEP_MS) {
      const box = boxOf(START + at, server({ state: "slow", why: "it holds no GPU memory" }));
      state = evaluate(state, [box], START + at).state;
    }
    const names = { processes: { north: { 9001: "llama-9001" } }, failedRequest: null };
    expect(raisedAlarms(state, names)).toEqual([
      {
        id: "slow:north:9001",
        kind: "slow",
        state: "raised",
        text: "9001 (Model-9001) on north is slow: it holds no GPU memory.",
        advice:
          "On north: `nvidia-smi`. A model without GPU memory runs on the CPU: `isha box restart north 9001` once the card has room.",
        since: START,
      },
    ]);
  });

  it("a server restarted three times within ten minutes, until the window has passed", () => {
    const { messages } = watch(LOOP_WINDOW_MS * 2, (at) =>
      server({ restarts: at < 60_000 ? 4 : at < 120_000 ? 5 : at < 180_000 ? 6 : 7 }),
    );
    expect(messages[0]).toBe("180 s: restart-loop:north:9001 raised");
    expect(messages).toHaveLength(2);
    expect(messages[1]).toContain("restart-loop:north:9001 recovered");
  });

  it.each<[string, Partial<WatchedBox>, string]>([
    ["a card that is hot for a minute", { temperatureC: HOT_C }, "60 s: heat:north raised"],
    ["a fifth of the calls failing", { calls: 20, failed: 4 }, "0 s: errors:north raised"],
    ["usage that isn't booked for too long", { usageBehindMs: BEHIND_MS }, "0 s: usage-behind:north raised"],
    ["a journal that is full", { journal: "full" }, "0 s: usage-behind:north raised"],
  ])("%s", (_what, status, first) => {
    const { messages } = watch(120_000, (at) => (at <= 60_000 ? status : {}));
    const [id = ""] = first.split(" raised")[0]?.split(": ").slice(1) ?? [];
    expect(messages).toEqual([first, `${(65_000 + CALM_MS) / 1000} s: ${id} recovered`]);
  });
});

describe("a box that an operator drained", () => {
  const AFTER_MS = ALARM_AFTER_MS["drained-long"];

  it("is an alarm after a quarter of an hour, until it is resumed", () => {
    const drained = (at: number): Partial<WatchedBox> =>
      at < AFTER_MS + 60_000 ? { draining: true, drainedAt: START } : {};
    expect(watch(AFTER_MS + 120_000, drained).messages).toEqual([
      "900 s: drained-long:north raised",
      "975 s: drained-long:north recovered",
    ]);
  });

  it("counts from the drain, not from the first evaluation, and whether or not its agent reports", () => {
    const gone = { draining: true, drainedAt: START - AFTER_MS, reporting: false, servers: [] };
    expect(watch(0, () => gone).messages).toEqual(["0 s: drained-long:north raised"]);
    const resumedWhileSilent = watch(30_000, (at) => (at === 0 ? gone : { ...gone, drainedAt: null }));
    expect(resumedWhileSilent.messages.at(-1)).toBe("20 s: drained-long:north recovered");
  });

  it("raises none while its agent shuts down without a drain", () => {
    expect(watch(AFTER_MS * 2, () => ({ draining: true })).messages).toEqual([]);
  });

  it("is said to stop the service only if no other box serves", () => {
    const drained = boxOf(START, { drainedAt: START - AFTER_MS });
    const [alone] = evaluate(NO_ALARMS, [drained], START).messages;
    expect(alone?.text).toBe("Nothing is served: north has been drained for 15 min.");
    expect(alone?.advice).toContain("`isha box resume north`");
    const [beside] = evaluate(NO_ALARMS, [drained, boxOf(START, { name: "south" })], START).messages;
    expect(beside?.text).toBe("north has been drained for 15 min and takes no calls.");
  });
});

it("the advice has the names of the box, the server and a failed request, and no placeholder", () => {
  const subject = {
    box: "north",
    port: 9001,
    process: "llama-9001",
    failedRequest: `req_${"0".repeat(32)}`,
  };
  for (const kind of Object.keys(ALARM_AFTER_MS) as AlarmKind[]) {
    expect(adviceOf(kind, subject), kind).toMatch(/north|req_/);
    expect(adviceOf(kind, subject), kind).not.toMatch(/<|null|undefined/);
  }
  expect(adviceOf("not-ready", subject)).toContain("`pm2 logs llama-9001`");
  expect(adviceOf("not-ready", subject)).toContain("`isha box restart north 9001`");
  expect(adviceOf("errors", subject)).toContain(`\`isha why ${subject.failedRequest}\``);
  expect(adviceOf("errors", { ...subject, failedRequest: null })).toContain("`isha status --json`");
});

describe("no message is created", () => {
  it.each<[string, (at: number) => Partial<WatchedBox>]>([
    ["for a healthy fleet", () => ({})],
    [
      "for a restart that ends in time",
      (at) => (at < 110_000 ? server({ state: "loading", restarts: 1 }) : {}),
    ],
    ["for a box that an operator drained", () => ({ draining: true, ...server({ state: "down" }) })],
    ["for two restarts", (at) => server({ restarts: Math.min(2, Math.floor(at / 60_000)) })],
    ["for a restart count that PM2 reset", (at) => server({ restarts: at < 60_000 ? 9 : 0 })],
    ["for a few calls, however they end", () => ({ calls: 19, failed: 19 })],
    ["for unknown figures", () => ({ temperatureC: null, ...server({ restarts: null }) })],
  ])("%s", (_what, statusAt) => {
    expect(watch(300_000, statusAt).messages).toEqual([]);
  });

  it("again for a condition that flaps", () => {
    const flaps = (at: number): Partial<WatchedBox> =>
      at % 10_000 === 0 || at < 70_000 ? { temperatureC: HOT_C } : {};
    expect(watch(200_000, flaps).messages).toEqual(["60 s: heat:north raised"]);
  });

  it("for a recovery that no report shows, because the box is silent; a broken link delays no alarm either", () => {
    const notReporting = (at: number): Partial<WatchedBox> => ({
      lastSeenAt: START + at - 5_000,
      reporting: false,
      servers: [],
      temperatureC: null,
    });
    const down = server({ state: "down" });
    const silent = watch(400_000, (at) =>
      at > 150_000 && at < 300_000 ? { ...notReporting(at), lastSeenAt: START + 150_000 } : down,
    );
    expect(silent.messages).toEqual([
      "120 s: not-ready:north:9001 raised",
      "210 s: box-silent:north raised",
      "315 s: box-silent:north recovered",
    ]);
    // A link that breaks every half minute.
    const flaky = watch(130_000, (at) => (at % 30_000 === 25_000 ? notReporting(at) : down));
    expect(flaky.messages).toEqual(["120 s: not-ready:north:9001 raised"]);
  });

  it("again for a known alarm, if its state was stored across a restart", () => {
    const down = (): Partial<WatchedBox> => server({ state: "down" });
    const before = watch(200_000, down);
    expect(before.messages).toHaveLength(1);
    const stored = JSON.parse(JSON.stringify(before.state)) as AlarmState;
    expect(watch(200_000, down, stored).messages).toEqual([]);
  });
});

it("whatever happens, raised and recovered alternate, no alarm is raised too early, and the state is bounded", () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = seeded(seed);
    let state = NO_ALARMS;
    const last = new Map<string, string>();
    for (let step = 0; step < 300; step += 1) {
      const now = START + step * STEP_MS;
      const { state: next, messages } = evaluate(
        state,
        [
          boxOf(now, {
            lastSeenAt: random.chance(0.9) ? now : START,
            temperatureC: random.pick([null, 50, 95]),
            calls: random.integer(0, 50),
            failed: random.integer(0, 20),
            ...server({
              state: random.pick(["ready", "down", "slow"] as const),
              restarts: random.integer(0, 5),
            }),
            ...(random.chance(0.9) ? {} : { reporting: false, servers: [], temperatureC: null, calls: 0 }),
          }),
        ],
        now,
      );
      state = next;
      for (const one of messages) {
        expect(last.get(one.id) ?? "recovered", `seed ${seed}`).not.toBe(one.state);
        last.set(one.id, one.state);
        if (one.state === "raised") expect(now - one.since).toBeGreaterThanOrEqual(ALARM_AFTER_MS[one.kind]);
      }
      expect(Object.keys(state.active).length).toBeLessThan(10);
      expect(JSON.stringify(state).length).toBeLessThan(2_000);
    }
  }
});
