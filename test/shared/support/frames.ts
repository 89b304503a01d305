// Frames of the link for tests: an idle box with one ready server.
import { WIRE_VERSION, type Hello, type Snapshot } from "../../../shared/wire.ts";

export const serverFrame = (
  more: Partial<Snapshot["servers"][number]> = {},
): Snapshot["servers"][number] => ({
  port: 9000,
  state: "ready",
  why: "",
  slots: 2,
  busy: 0,
  waiting: 0,
  places: 32,
  waitMs: null,
  tokensPerSecond: null,
  firstTokenP50Ms: null,
  firstTokenP95Ms: null,
  continued: 0,
  gpuGib: null,
  restarts: null,
  ...more,
});

/** No calls in the last five minutes. */
export const NO_TRAFFIC: Snapshot["traffic"] = {
  windowS: 300,
  byAgent: { agents: [], calls: [], tokens: [] },
  calls: 0,
  failed: 0,
  fallbacks: 0,
  recoveries: 0,
};

export const snapshotFrame = (more: Partial<Snapshot> = {}): Snapshot => ({
  t: "snapshot",
  seq: 1,
  draining: false,
  servers: [serverFrame()],
  gpus: null,
  traffic: NO_TRAFFIC,
  journal: { state: "ok", behindMs: null },
  ...more,
});

export const helloFrame = (more: Partial<Hello> = {}): Hello => ({
  t: "hello",
  v: WIRE_VERSION,
  box: "north",
  epoch: "epoch-1",
  version: "1.2.3",
  fleetHash: "f".repeat(64),
  now: Date.now(),
  servers: [{ port: 9000, model: "Model-1" }],
  drain: null,
  ...more,
});
