// Samples for tests of the link: an idle box, a call that ended.
import {
  boxSnapshot,
  type SnapshotInput,
  type BoxSnapshot,
  type ServerInput,
} from "../../../origin-agent/link/snapshot.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import { NO_TRAFFIC } from "../../shared/support/frames.ts";

export const serverInput = (other: Partial<ServerInput> = {}): ServerInput => ({
  port: 9101,
  plannedSlots: 2,
  slots: { total: 2, leased: 0, awaiting: 0, foreign: 0 },
  health: {
    state: "ready",
    cause: { tag: "well" },
    text: "well",
    usable: true,
    gpuGib: 6.1,
    restarts: 0,
  },
  queue: { waiting: 0, places: 32, newcomerMs: 0 },
  tokensPerSecond: 0,
  firstToken: { p50Ms: null, p95Ms: null },
  continued: 0,
  ...other,
});

export const snapshotInput = (other: Partial<SnapshotInput> = {}): SnapshotInput => ({
  simulated: false,
  draining: false,
  servers: [serverInput()],
  gpus: null,
  traffic: NO_TRAFFIC,
  journal: { state: "ok", reason: null },
  usageBehindMs: null,
  ...other,
});

export const idleBox = (): BoxSnapshot => boxSnapshot(snapshotInput());

export const usageCall = (seq: number, other: Partial<UsageCall> = {}): UsageCall => ({
  seq,
  callId: `req-${seq}`,
  keyId: "key-1",
  agentType: "Radiology",
  model: "Heron-3B",
  port: 9101,
  startedAt: 1_790_000_000_000,
  outcome: "complete",
  promptTokens: 10,
  cachedTokens: 0,
  completionTokens: 20,
  choices: 1,
  estimated: false,
  durationMs: 100,
  ...other,
});
