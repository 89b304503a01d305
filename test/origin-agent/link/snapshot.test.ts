// What a box tells of itself: small, in the wire's words, unknown as null; and what of it is news.
import { describe, expect, it } from "vitest";
import {
  boxSnapshot,
  changedSince,
  type BoxNow,
  type ServerNow,
} from "../../../origin-agent/link/snapshot.ts";
import type { Gpu } from "../../../origin-agent/probes/gpu-csv.ts";
import { AgentFrame, LINK_STATES } from "../../../shared/wire.ts";
import { boxNow, serverNow } from "../support/link-samples.ts";

const card = (other: Partial<Gpu> = {}): Gpu => ({
  index: 0,
  uuid: "GPU-1",
  name: "NVIDIA GeForce RTX 3090",
  memoryTotalGib: 24,
  memoryUsedGib: 22.5,
  utilizationPercent: 97,
  temperatureC: 71,
  powerWatts: 341.273,
  ...other,
});

const stalled = (port: number): ServerNow =>
  serverNow({
    port,
    health: {
      state: "stalled",
      cause: { tag: "no-prompt-progress", slot: 1, silentMs: 31_000 },
      text: "the prompt in slot 1 made no progress for 31 s",
      usable: false,
      gpuGib: 6.123_456,
      restarts: 12_345,
    },
    slots: { total: 2, leased: 1, awaiting: 1, foreign: 0 },
    queue: { waiting: 32, places: 32, newcomerMs: 123_456.789 },
    tokensPerSecond: 1_234.567_89,
    firstToken: { p50Ms: 12_345, p95Ms: 123_456 },
    continued: 123,
  });

/** As the shipped fleet has them: ten agent types, all of them busy. */
const AGENTS = [
  "Clinical",
  "Claims",
  "Chat",
  "Scribe",
  "Coding",
  "Billing",
  "Insurance",
  "MedicalQuery",
  "Summarizer",
  "Default",
];

const full: BoxNow = boxNow({
  servers: [8080, 8081, 8082, 8084, 8085].map(stalled),
  gpus: [card()],
  usageBehindMs: 1_234.5,
  traffic: {
    windowS: 300,
    byAgent: {
      agents: AGENTS,
      calls: AGENTS.map(() => 12_345),
      tokens: AGENTS.map(() => 12_345_678),
    },
    calls: 123_456,
    failed: 12_345,
    fallbacks: 12_345,
    recoveries: 1_234,
  },
});

describe("a box's snapshot", () => {
  it("is a frame of the wire and has at most 2 KB for five servers that have much to say", () => {
    const frame = { t: "snapshot", seq: 123_456, ...boxSnapshot(full) };
    const text = JSON.stringify(frame);
    expect(AgentFrame.safeParse(frame).error).toBeUndefined();
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2_048);
    console.log(`a snapshot of five servers in trouble: ${Buffer.byteLength(text)} bytes`);
  });

  it("says null for what nobody knows, and why only where the state doesn't say all", () => {
    const [well] = boxSnapshot(boxNow({ servers: [serverNow({ tokensPerSecond: null })] })).servers;
    expect(well).toMatchObject({ state: "ready", why: "", waitMs: 0, tokensPerSecond: null });
    const down = serverNow({
      slots: { total: 0, leased: 0, awaiting: 0, foreign: 0 },
      health: {
        state: "down",
        cause: { tag: "refused", pm2: null },
        text: "nothing listens",
        usable: false,
        gpuGib: null,
        restarts: null,
      },
    });
    const gone = boxSnapshot(boxNow({ servers: [down] }));
    expect(gone.servers[0]).toMatchObject({ state: "down", why: "nothing listens", slots: 2, busy: 0 });
    expect(gone.servers[0]).toMatchObject({ waitMs: null, gpuGib: null, restarts: null });
    expect(gone.gpus).toBeNull();
    const dark = card({ name: null, memoryUsedGib: null, powerWatts: null });
    expect(boxSnapshot(boxNow({ gpus: [dark] })).gpus?.[0]).toMatchObject({
      name: null,
      memoryUsedGib: null,
      powerWatts: null,
      memoryTotalGib: 24,
    });
  });

  it("counts a slot that isn't proved free as busy", () => {
    const slots = { total: 4, leased: 1, awaiting: 1, foreign: 1 };
    expect(boxSnapshot(boxNow({ servers: [serverNow({ slots })] })).servers[0]?.busy).toBe(3);
  });

  it.each([
    [{ state: "ok", reason: null }, "ok"],
    [{ state: "failing", reason: "ENOSPC" }, "full"],
    [{ state: "failing", reason: "BOUND" }, "full"],
    [{ state: "failing", reason: "EIO" }, "failing"],
  ] as const)("says of a journal that is %j: %s", (journal, state) => {
    expect(boxSnapshot(boxNow({ journal })).journal.state).toBe(state);
  });

  it("can say every state that the wire knows", () => {
    for (const state of LINK_STATES) {
      const health = { ...serverNow().health, state };
      const frame = { t: "snapshot", seq: 1, ...boxSnapshot(boxNow({ servers: [serverNow({ health })] })) };
      expect(AgentFrame.safeParse(frame).success).toBe(true);
    }
  });
});

describe("news", () => {
  const news = (before: Partial<BoxNow>, after: Partial<BoxNow>): boolean =>
    changedSince(boxSnapshot(boxNow(before)), boxSnapshot(boxNow(after)));
  const server = (other: Partial<ServerNow>): Partial<BoxNow> => ({ servers: [serverNow(other)] });

  it("is none where only figures tremble", () => {
    expect(news({}, {})).toBe(false);
    expect(news({ gpus: [card()] }, { gpus: [card({ powerWatts: 330, temperatureC: 72 })] })).toBe(false);
    expect(news(server({ tokensPerSecond: 100 }), server({ tokensPerSecond: 95 }))).toBe(false);
  });

  it.each<[string, Partial<BoxNow>, Partial<BoxNow>]>([
    ["a drain", {}, { draining: true }],
    ["a journal in trouble", {}, { journal: { state: "failing", reason: "EIO" } }],
    ["a slot taken", {}, server({ slots: { total: 2, leased: 1, awaiting: 0, foreign: 0 } })],
    ["a call that waits", {}, server({ queue: { waiting: 1, places: 32, newcomerMs: 0 } })],
    ["another speed", server({ tokensPerSecond: 100 }), server({ tokensPerSecond: 50 })],
    ["a speed that is known at last", server({ tokensPerSecond: null }), server({ tokensPerSecond: 1 })],
    ["a model let go", { gpus: [card()] }, { gpus: [card({ memoryUsedGib: 16.6 })] }],
    ["a card gone", { gpus: [card()] }, { gpus: null }],
  ])("is %s", (_what, before, after) => {
    expect(news(before, after)).toBe(true);
  });

  it("is a restart and a state", () => {
    const { health } = serverNow();
    expect(news({}, server({ health: { ...health, restarts: 1 } }))).toBe(true);
    expect(news({}, server({ health: { ...health, state: "loading", usable: false } }))).toBe(true);
  });
});
