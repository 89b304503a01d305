// Fleets in typical states, for tests and for viewing the page by hand.
import type { TrafficWindow } from "../../../shared/fleet-view.ts";
import { FakeFleet, LONG_NAME } from "./fake-fleet.ts";

const MINUTE_MS = 60_000;

/** @param scale of the counts of five minutes */
function trafficWindow(windowS: number, scale: number): TrafficWindow {
  const rows: [
    agent: string,
    calls: number,
    ours: number,
    callers: number,
    first: number | null,
    total: number,
  ][] = [
    ["Clinical", 412, 3, 20, 240, 3_100],
    ["Claims", 288, 2, 11, 410, 6_200],
    ["Default", 140, 0, 12, 180, 1_450],
    ["MedicalQA", 71, 0, 0, 320, 4_800],
    ["Scribe", 22, 0, 0, null, 12_400],
  ];
  return {
    windowS,
    coveredS: windowS,
    byAgent: rows.map(([agent, calls, ours, callers, first, total]) => ({
      agent,
      calls: calls * scale,
      ours: ours * scale,
      callers: callers * scale,
      p50Ms: total,
      p95Ms: total * 3,
      firstP50Ms: first,
      firstP95Ms: first === null ? null : first * 4,
    })),
    byCode: [
      { code: "rate_limited_key", count: 31 * scale },
      { code: "invalid_request", count: 12 * scale },
      { code: "overloaded", count: 4 * scale },
      { code: "upstream_failed", count: scale },
    ],
  };
}

export function busyFleet(clock: () => number): FakeFleet {
  const fleet = new FakeFleet(clock);
  fleet.traffic = {
    windowS: 300,
    byAgent: [
      { agent: "Clinical", calls: 412, tokens: 98_211 },
      { agent: "Claims", calls: 288, tokens: 61_040 },
      { agent: "Default", calls: 140, tokens: 12_204 },
      { agent: "MedicalQA", calls: 71, tokens: 20_119 },
      { agent: "Scribe", calls: 22, tokens: 4_011 },
    ],
    byCode: [
      { code: "rate_limited_key", count: 31 },
      { code: "invalid_key", count: 12 },
      { code: "overloaded", count: 4 },
      { code: "upstream_failed", count: 1 },
    ],
    fallbacks: 6,
    recoveries: 3,
    windows: [trafficWindow(300, 1), trafficWindow(3600, 11)],
  };
  const now = clock();
  fleet.addEvent("info", "the agent 0.1.0 linked", now - 300 * MINUTE_MS);
  fleet.addEvent("warn", "8081 is slow: 9 tokens per second, 31 before", now - 95 * MINUTE_MS);
  fleet.addEvent("good", "8081 is back to normal speed", now - 88 * MINUTE_MS);
  fleet.addEvent(
    "good",
    "8085 restarted by PM2, back after 6.1 s, 3 streams continued",
    now - 12 * MINUTE_MS,
  );
  const failures: [code: string, key: string | null, cause: string | null, agentType: string | null][] = [
    ["overloaded", "Qm2xPq8sT1", "box1: 32 calls wait for 8085", "Clinical"],
    ["invalid_request", "Rt5vWx7yZ9", null, null],
    ["rate_limited_key", "legacy_0a1b2c3d4e5f6071", null, null],
    ["upstream_failed", "Qm2xPq8sT1", "box1: 8085 closed the stream, two retries spent", "Claims"],
  ];
  for (const [index, [code, key, cause, agentType]] of failures.entries()) {
    const requestId = `req_${String(index).repeat(4)}9f3kq1c2x7`;
    fleet.failures.push({
      requestId,
      at: now - index * MINUTE_MS,
      code,
      route: "/v1/chat/completions",
      key,
      cause,
      agentType,
      ...(code === "invalid_request" ? { param: "messages[0].role" } : { model: "BiMediX2-8B", port: 8085 }),
    });
  }
  fleet.groups.push(
    { code: "rate_limited_key", key: "legacy_0a1b2c3d4e5f6071", count: 341, lastAt: now - 2 * MINUTE_MS },
    { code: "invalid_request", key: "Rt5vWx7yZ9", count: 120, lastAt: now - MINUTE_MS },
    { code: "overloaded", key: "Qm2xPq8sT1", count: 44, lastAt: now },
    { code: "invalid_request", key: null, count: 12, lastAt: now - 9 * MINUTE_MS },
    { code: "upstream_failed", key: "Qm2xPq8sT1", count: 11, lastAt: now - 3 * MINUTE_MS },
  );
  return fleet;
}

/** One server down with an alarm, one stalled, one slow. */
export function troubledFleet(clock: () => number): FakeFleet {
  const fleet = busyFleet(clock);
  fleet.kill(8085);
  Object.assign(fleet.server(8084), {
    state: "stalled",
    why: "no token for 21 s",
    since: clock() - 21_000,
    waiting: 12,
    waitMs: 48_000,
  });
  Object.assign(fleet.server(8081), {
    state: "slow",
    why: "9 tokens per second, 31 before",
    restarts: 3,
  });
  fleet.box().warning = "Its fleet file differs from the edge's: deploy both from one commit.";
  fleet.alarms.push({
    id: "server-down:box1:8085",
    since: clock() - 12_000,
    text: "8085 on box1 went down 4 times within 10 minutes",
    advice: "Check `pm2 logs llama-bimedix2-8085` on box1; the most frequent cause is a lack of GPU memory.",
  });
  return fleet;
}

/** The only box, drained by an operator. */
export function drainedFleet(clock: () => number): FakeFleet {
  const fleet = busyFleet(clock);
  Object.assign(fleet.box(), { state: "draining", drainedAt: clock() - 4 * MINUTE_MS });
  for (const server of fleet.box().servers)
    Object.assign(server, { busy: 0, waiting: 0, tokensPerSecond: 0 });
  return fleet;
}

export function tenBoxes(clock: () => number): FakeFleet {
  const names = Array.from({ length: 9 }, (_, index) => `box${index + 1}`);
  const fleet = new FakeFleet(clock, { names: [...names, LONG_NAME] });
  fleet.silence("box3", 47_000);
  fleet.box("box5").state = "draining";
  for (const server of fleet.box("box5").servers) server.busy = 0;
  fleet.kill(8085, "box7");
  return fleet;
}

export function allDown(clock: () => number): FakeFleet {
  const fleet = new FakeFleet(clock, { names: ["box1", "box2"] });
  for (const { port } of fleet.box("box1").servers) fleet.kill(port, "box1");
  fleet.silence("box2", 191_000);
  return fleet;
}

/** A box that has never reported. */
export function newFleet(clock: () => number): FakeFleet {
  const fleet = new FakeFleet(clock);
  fleet.silence("box1", 0);
  Object.assign(fleet.box("box1"), { lastSeenAt: null, version: null, gpus: null, usageBehindMs: null });
  for (const server of fleet.box("box1").servers) {
    Object.assign(server, { gpuGib: null, restarts: null, firstTokenP50Ms: null, firstTokenP95Ms: null });
  }
  return fleet;
}

const MARKUP = '<img src=x onerror="document.title=1"><script>alert(1)</script>';

/** Ten boxes with absurd figures, wrong clocks, names with markup, 200 keys, and lists at their limits. */
export function absurdFleet(clock: () => number): FakeFleet {
  const fleet = tenBoxes(clock);
  const now = clock();
  for (const [index, box] of fleet.boxes.entries()) {
    box.gpu = MARKUP;
    box.warning = `${MARKUP} ${"long ".repeat(40)}`;
    box.lastSeenAt = index % 2 === 0 ? now + 1e12 : 8.7e15;
    box.usageBehindMs = 1e300;
    for (const server of box.servers) {
      Object.assign(server, {
        model: MARKUP,
        why: `${MARKUP}${"x".repeat(200)}`,
        since: now + 9e12,
        slots: 5_000,
        busy: Number.MAX_SAFE_INTEGER,
        waiting: Number.MAX_SAFE_INTEGER,
        places: Number.MAX_SAFE_INTEGER,
        waitMs: 1e300,
        tokensPerSecond: 1e300,
        firstTokenP50Ms: 1e300,
        firstTokenP95Ms: -5,
        gpuGib: 1e9,
        restarts: Number.MAX_SAFE_INTEGER,
      });
    }
  }
  for (let n = 0; n < 100; n += 1)
    fleet.addEvent("bad", `${MARKUP} ${n}`, n % 2 === 0 ? 8.7e15 : now, MARKUP);
  for (let n = 0; n < 100; n += 1) {
    const code = n % 2 === 0 ? "invalid_request" : MARKUP;
    fleet.groups.push({
      code,
      key: `key-${n}-${"k".repeat(100)}`,
      count: Number.MAX_SAFE_INTEGER,
      lastAt: 8.7e15,
    });
    const cause = "c".repeat(300);
    const about = { route: MARKUP, key: `key-${n}`, cause, agentType: MARKUP };
    fleet.failures.push({ requestId: `req_${n}`, at: -8.7e15, code, ...about });
  }
  const absurd = { calls: Number.MAX_SAFE_INTEGER, ours: Number.MAX_SAFE_INTEGER, callers: 1 };
  const times = { p50Ms: 1e300, p95Ms: -1, firstP50Ms: null, firstP95Ms: 1e300 };
  const byAgent = Array.from({ length: 60 }, (_, n) => ({ agent: `${MARKUP} ${n}`, ...absurd, ...times }));
  const byCode = fleet.groups.map(({ count }, n) => ({ code: `${MARKUP} ${n}`, count }));
  fleet.traffic.windows = [300, 3600].map((windowS) => ({ windowS, coveredS: 1e-9, byAgent, byCode }));
  return fleet;
}
