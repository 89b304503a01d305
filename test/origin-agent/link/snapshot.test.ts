// The box's snapshot: small, valid on the wire, unknown figures as null; and which changes make one due.
import { describe, expect, it } from "vitest";
import {
  boxSnapshot,
  changedSince,
  type SnapshotInput,
  type ServerInput,
} from "../../../origin-agent/link/snapshot.ts";
import type { Gpu } from "../../../origin-agent/probes/gpu-csv.ts";
import { AgentFrame, LINK_STATES } from "../../../shared/wire.ts";
import { snapshotInput, serverInput } from "../support/link-samples.ts";

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

const stalled = (port: number): ServerInput =>
  serverInput({
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

/** The ten agent types of the shipped fleet, all of them busy. */
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

const full: SnapshotInput = snapshotInput({
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
  it("is marked only if some of the box is simulated", () => {
    expect(boxSnapshot(snapshotInput())).not.toHaveProperty("simulated");
    expect(boxSnapshot(snapshotInput({ simulated: true })).simulated).toBe(true);
  });

  it("is a valid frame of at most 2 KB for five servers with long texts and large figures", () => {
    const frame = { t: "snapshot", seq: 123_456, ...boxSnapshot(full) };
    const text = JSON.stringify(frame);
    expect(AgentFrame.safeParse(frame).error).toBeUndefined();
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2_048);
    console.log(`a snapshot of five stalled servers: ${Buffer.byteLength(text)} bytes`);
  });

  it("has null for unknown figures, and a reason only if the server isn't healthy", () => {
    const [healthy] = boxSnapshot(
      snapshotInput({ servers: [serverInput({ tokensPerSecond: null })] }),
    ).servers;
    expect(healthy).toMatchObject({ state: "ready", why: "", waitMs: 0, tokensPerSecond: null });
    const down = serverInput({
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
    const withDown = boxSnapshot(snapshotInput({ servers: [down] }));
    expect(withDown.servers[0]).toMatchObject({ state: "down", why: "nothing listens", slots: 2, busy: 0 });
    expect(withDown.servers[0]).toMatchObject({ waitMs: null, gpuGib: null, restarts: null });
    expect(withDown.gpus).toBeNull();
    const unknown = card({ name: null, memoryUsedGib: null, powerWatts: null });
    expect(boxSnapshot(snapshotInput({ gpus: [unknown] })).gpus?.[0]).toMatchObject({
      name: null,
      memoryUsedGib: null,
      powerWatts: null,
      memoryTotalGib: 24,
    });
  });

  it("counts a slot that isn't proved free as busy", () => {
    const slots = { total: 4, leased: 1, awaiting: 1, foreign: 1 };
    expect(boxSnapshot(snapshotInput({ servers: [serverInput({ slots })] })).servers[0]?.busy).toBe(3);
  });

  it.each([
    [{ state: "ok", reason: null }, "ok"],
    [{ state: "failing", reason: "ENOSPC" }, "full"],
    [{ state: "failing", reason: "EIO" }, "failing"],
  ] as const)("reports a journal state of %j as %s", (journal, state) => {
    expect(boxSnapshot(snapshotInput({ journal })).journal.state).toBe(state);
  });

  it("is valid with every state of the wire", () => {
    for (const state of LINK_STATES) {
      const health = { ...serverInput().health, state };
      const frame = {
        t: "snapshot",
        seq: 1,
        ...boxSnapshot(snapshotInput({ servers: [serverInput({ health })] })),
      };
      expect(AgentFrame.safeParse(frame).success).toBe(true);
    }
  });
});

describe("a change", () => {
  const isDue = (before: Partial<SnapshotInput>, after: Partial<SnapshotInput>): boolean =>
    changedSince(boxSnapshot(snapshotInput(before)), boxSnapshot(snapshotInput(after)));
  const server = (other: Partial<ServerInput>): Partial<SnapshotInput> => ({ servers: [serverInput(other)] });

  it("of small fluctuations makes no snapshot due", () => {
    expect(isDue({}, {})).toBe(false);
    expect(isDue({ gpus: [card()] }, { gpus: [card({ powerWatts: 330, temperatureC: 72 })] })).toBe(false);
    expect(isDue(server({ tokensPerSecond: 100 }), server({ tokensPerSecond: 95 }))).toBe(false);
  });

  it.each<[string, Partial<SnapshotInput>, Partial<SnapshotInput>]>([
    ["a drain", {}, { draining: true }],
    ["a failing journal", {}, { journal: { state: "failing", reason: "EIO" } }],
    ["a slot in use", {}, server({ slots: { total: 2, leased: 1, awaiting: 0, foreign: 0 } })],
    ["a queued call", {}, server({ queue: { waiting: 1, places: 32, newcomerMs: 0 } })],
    ["another speed", server({ tokensPerSecond: 100 }), server({ tokensPerSecond: 50 })],
    ["a speed that was unknown", server({ tokensPerSecond: null }), server({ tokensPerSecond: 1 })],
    ["an unloaded model", { gpus: [card()] }, { gpus: [card({ memoryUsedGib: 16.6 })] }],
    ["a missing card", { gpus: [card()] }, { gpus: null }],
  ])("(%s) makes a snapshot due", (_what, before, after) => {
    expect(isDue(before, after)).toBe(true);
  });

  it("of restarts or the state makes a snapshot due", () => {
    const { health } = serverInput();
    expect(isDue({}, server({ health: { ...health, restarts: 1 } }))).toBe(true);
    expect(isDue({}, server({ health: { ...health, state: "loading", usable: false } }))).toBe(true);
  });
});
