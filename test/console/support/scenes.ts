// Fleets in typical states, for tests and for viewing the page by hand.
import { FakeFleet, LONG_NAME } from "./fake-fleet.ts";

const MINUTE_MS = 60_000;

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
  const failures: [code: string, key: string | null, cause: string | null][] = [
    ["overloaded", "Qm2xPq8sT1", "box1: 32 calls wait for 8085"],
    ["invalid_key", null, null],
    ["rate_limited_key", "legacy_0a1b2c3d4e5f6071", null],
    ["upstream_failed", "Qm2xPq8sT1", "box1: 8085 closed the stream, two retries spent"],
  ];
  for (const [index, [code, key, cause]] of failures.entries()) {
    const requestId = `req_${String(index).repeat(4)}9f3kq1c2x7`;
    fleet.failures.push({
      requestId,
      at: now - index * MINUTE_MS,
      code,
      route: "/v1/chat/completions",
      key,
      cause,
    });
  }
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

export function tenBoxes(clock: () => number): FakeFleet {
  const names = Array.from({ length: 9 }, (_, index) => `box${index + 1}`);
  const fleet = new FakeFleet(clock, { names: [...names, LONG_NAME] });
  fleet.silence("box3", 47_000);
  fleet.box("box5").state = "draining";
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
