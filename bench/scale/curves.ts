// The curves of `npm run bench -- --scale`: what a call costs as one size grows. A further curve is one more entry.
import { setTimeout as pause } from "node:timers/promises";
import { EVENTS, withBodyBytes, type Call } from "../measures/calls.ts";
import { exactCpuSeconds } from "../measures/cpu-time.ts";
import { createKeys, withKey } from "../measures/keys.ts";
import { applyLoad, type LoadPlan } from "../measures/load.ts";
import type { Running, Stage } from "../stage.ts";

export interface Curve {
  readonly name: string;
  readonly axis: string;
  readonly unit: "µs";
  readonly sizes: readonly number[];
  /** CPU time of one unit of work at this size, µs. */
  readonly measure: (stage: Stage, size: number) => Promise<number>;
}

const SAMPLE_MS = 3_000;
const WARM_UP_MS = 4_000;
/** Below a key's limit of 1,000 per second. */
const PER_SECOND = 500;
const CONCURRENCY = 16;
/** As many as a deployment may have. */
const MAX_KEYS = 10_000;
const MAX_BOXES = 10;
const MAX_BODY_KIB = 1_100;
/** Slots of the server whose queue is measured: 128 places, of which one key may take half. */
const QUEUE_SLOTS = 8;
/** Streams of 25 tokens per second, so that a thousand of them are within one core's reach. */
const WIDE_SLOTS = 256;
const STREAM_TOKENS = EVENTS;

export const CURVES: readonly Curve[] = [
  {
    name: "agent, CPU a request, against waiting calls",
    axis: "calls waiting for the server",
    unit: "µs",
    sizes: [1, 4, 16, 56],
    async measure(stage, waiting) {
      const { agent } = await stage.agentWithSlots(QUEUE_SLOTS);
      const calls = (await stage.agentCalls("json")).slice(0, 1);
      return cpuPerCall(stage, agent, { calls, concurrency: QUEUE_SLOTS + waiting, perSecond: null });
    },
  },
  {
    name: "edge, CPU a request, against keys",
    axis: "keys in turn",
    unit: "µs",
    sizes: [1, 10, 100, 1_000, MAX_KEYS],
    async measure(stage, count) {
      const edge = await stage.edge();
      const all = await stage.once("keys", () => createKeys(edge.url, MAX_KEYS));
      const keys = all.slice(0, count);
      const calls = stage.clientCalls("json");
      const turns = keys.map((key, at) => withKey(calls[at % calls.length] as Call, key));
      return cpuPerCall(stage, edge, { calls: turns, concurrency: CONCURRENCY, perSecond: PER_SECOND });
    },
  },
  {
    name: "edge, CPU a request, against boxes",
    axis: "boxes in the fleet file",
    unit: "µs",
    sizes: [1, 2, 5, MAX_BOXES],
    async measure(stage, boxes) {
      const { edge } = await stage.edgeOf({ boxes, maxBodyKib: MAX_BODY_KIB });
      const calls = stage.clientCalls("json");
      return cpuPerCall(stage, edge, { calls, concurrency: CONCURRENCY, perSecond: PER_SECOND });
    },
  },
  {
    name: "edge, CPU a request, against its body",
    axis: "bytes of the body",
    unit: "µs",
    sizes: [1_000, 10_000, 100_000, 1_000_000],
    async measure(stage, bytes) {
      const { edge } = await stage.edgeOf({ boxes: 1, maxBodyKib: MAX_BODY_KIB });
      const calls = stage.clientCalls("json").map((call) => withBodyBytes(call, bytes));
      return cpuPerCall(stage, edge, { calls, concurrency: 4, perSecond: paceOf(bytes) });
    },
  },
  {
    name: "agent, CPU a request, against its body",
    axis: "bytes of the body",
    unit: "µs",
    sizes: [1_000, 10_000, 100_000, 1_000_000],
    async measure(stage, bytes) {
      const agent = await stage.agent();
      const calls = (await stage.agentCalls("json")).map((call) => withBodyBytes(call, bytes));
      return cpuPerCall(stage, agent, { calls, concurrency: 4, perSecond: paceOf(bytes) });
    },
  },
  {
    name: "agent, CPU a streamed event, against open streams",
    axis: "open streams",
    unit: "µs",
    sizes: [1, 10, 100, 1_000],
    async measure(stage, open) {
      const agent = await stage.agentOfSlowStreams(WIDE_SLOTS);
      const calls = await stage.agentCalls("stream", STREAM_TOKENS);
      const idle = await stage.once("idle agent of slow streams", () => cpuPerSecond(agent));
      const started = performance.now();
      const before = exactCpuSeconds(agent.pid);
      // One round of streams: each has all its tokens.
      const plan = { url: agent.url, calls, concurrency: open, perSecond: null, durationMs: 1 };
      const { answers } = await applyLoad(plan);
      const idleSeconds = (idle * (performance.now() - started)) / 1000;
      const used = exactCpuSeconds(agent.pid) - before - idleSeconds;
      return (used * 1e6) / (answers * STREAM_TOKENS);
    },
  },
];

/** A megabyte is parsed in tens of milliseconds. */
function paceOf(bytes: number): number {
  return Math.max(20, Math.min(PER_SECOND, 20_000_000 / bytes));
}

async function cpuPerCall(
  stage: Stage,
  { url, pid }: Running,
  load: Pick<LoadPlan, "calls" | "concurrency" | "perSecond">,
): Promise<number> {
  await stage.once(`warm ${url}`, () => applyLoad({ url, ...load, durationMs: WARM_UP_MS }));
  const before = exactCpuSeconds(pid);
  const { answers } = await applyLoad({ url, ...load, durationMs: SAMPLE_MS });
  return ((exactCpuSeconds(pid) - before) * 1e6) / answers;
}

/** Seconds of CPU time in a second without calls. */
async function cpuPerSecond({ pid }: Running): Promise<number> {
  const [before, started] = [exactCpuSeconds(pid), performance.now()];
  await pause(SAMPLE_MS);
  return (exactCpuSeconds(pid) - before) / ((performance.now() - started) / 1000);
}
