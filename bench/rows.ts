// The rows of the design's cost table and how each is measured. A further row is one more entry of `ROWS`.
import { idleCpuPercent, memoryGrowth } from "./measures/at-rest.ts";
import { gzippedBytes } from "./measures/bundle-size.ts";
import { EVENTS, type Call, type Kind } from "./measures/calls.ts";
import {
  EDGE_PACE,
  measureCpuPairs,
  PACED,
  SATURATED,
  STREAMS,
  type Contender,
  type Pace,
} from "./measures/cpu-pairs.ts";
import { added, answerPairs, type AnswerPairs } from "./measures/latency.ts";
import { measureMemory, measureStalls } from "./measures/open-streams.ts";
import { abortToFree, continuationGap, deathTimes, type Spread } from "./measures/recovery.ts";
import { measureRefusals } from "./measures/refusal-flood.ts";
import { measureSlotIdle } from "./measures/slot-idle.ts";
import { PEER_ROWS } from "./peers/rows.ts";
import type { Bound, Measured, Row } from "./row.ts";
import type { Running, Stage } from "./stage.ts";

const OPEN_STREAMS = 1_000;
/** 400 events with the four around them. */
const STREAM_TOKENS = 396;
/** Slots of each of the box's servers: enough for all streams at once. */
const WIDE_SLOTS = 256;
const STALL_STREAMS = 512;
/** At 25 tokens per second: four seconds. */
const STALL_TOKENS = 100;
const LATENCY_TURNS = 400;
const GROWTH_CALLS = 10_000;

/** The floor of Mediczy's translation is the agent itself, passing the same stream through. */
export const ROWS: readonly Row[] = [
  cpuRow("edge, CPU a request", [1.55, 1.35], EDGE_PACE, "json", [floorEdge, edge]),
  cpuRow("edge, CPU a streamed event", [1.5, 1.35], STREAMS, "stream", [floorEdge, edge]),
  cpuRow("agent, CPU a request, paced", [2.4, 1.5], PACED, "json", [floorAgent, agent]),
  cpuRow("agent, CPU a request, saturated", [3.7, 2], SATURATED, "json", [floorAgent, agent]),
  cpuRow("agent, CPU a streamed event, pass-through", [1.45, 1.2], STREAMS, "stream", [floorAgent, agent]),
  cpuRow("Mediczy translation, CPU a streamed event", [2], STREAMS, "mediczy", [passingAgent, agent]),
  {
    name: "edge, CPU a refusal under flood, over a served request",
    unit: "µs",
    bound: { on: "ratio", atMost: 0.5, goal: 0.3 },
    async measure(stage, progress) {
      const found = await measureRefusals(await stage.edge(), stage.clientCalls("json"), onRound(progress));
      const { refusedUs, servedUs, ratio } = found;
      return { figure: refusedUs, floor: servedUs, ratio, detail: { ...found } };
    },
  },
  {
    name: "Worker bundle, gzipped",
    unit: "KB",
    bound: { on: "figure", atMost: 80 },
    async measure(stage) {
      const bytes = gzippedBytes(await stage.edgeBundle());
      return alone(bytes / 1000, { bytes });
    },
  },
  {
    name: "agent, idle CPU, of one core",
    unit: "%",
    bound: { on: "figure", atMost: 0.8, goal: 0.3 },
    measure: async (stage) => alone(await idleCpuPercent(await stage.agent()), {}),
  },
  {
    name: "agent, memory at 1,000 open streams of 400 events",
    unit: "MB",
    bound: { on: "figure", atMost: 256 },
    async measure(stage) {
      const { agent: program } = await stage.agentWithSlots(WIDE_SLOTS);
      const calls = await stage.agentCalls("stream", STREAM_TOKENS);
      const memory = await measureMemory(program, calls, OPEN_STREAMS);
      return { figure: memory.peakMb, floor: memory.beforeMb, ratio: null, detail: { ...memory } };
    },
  },
  {
    name: "agent, memory growth over 10,000 calls",
    unit: "MB",
    bound: null,
    async measure(stage) {
      const memory = await memoryGrowth(await stage.agent(), await stage.agentCalls("json"), GROWTH_CALLS);
      return alone(memory.afterMb - memory.beforeMb, { ...memory });
    },
  },
  {
    name: "slot idle between two queued calls",
    unit: "ms",
    bound: { on: "figure", atMost: 2 },
    async measure(stage) {
      const { agent: program, origin } = await stage.agentWithSlots(1);
      const idle = await measureSlotIdle(program, origin, firstOf(await stage.agentCalls("json")));
      return { ...alone(idle.p50Ms, { ...idle }), note: `p99 ${idle.p99Ms.toFixed(1)} ms` };
    },
  },
  latencyRow("added time to first byte, both hops", "stream", [3.6, 2], (pairs) =>
    added(pairs, ({ firstByteMs }) => [firstByteMs], 0.5),
  ),
  latencyRow("added p99 at one connection, both hops", "json", [3.6, 3], (pairs) =>
    added(pairs, ({ totalMs }) => [totalMs], 0.99),
  ),
  latencyRow("added gap between tokens, p50", "stream", null, (pairs) =>
    added(pairs, ({ gapsMs }) => gapsMs, 0.5),
  ),
  latencyRow("added gap between tokens, p99", "stream", null, (pairs) =>
    added(pairs, ({ gapsMs }) => gapsMs, 0.99),
  ),
  {
    name: "streams that pause over 1 s, of 512 at once, both hops",
    unit: "",
    bound: { on: "figure", atMost: 0 },
    async measure(stage) {
      const { url } = await stage.wideEdge(WIDE_SLOTS);
      const stalls = await measureStalls(url, stage.clientCalls("stream", STALL_TOKENS), STALL_STREAMS);
      return {
        ...alone(stalls.stalled, { ...stalls }),
        note: `longest pause ${stalls.longestMs.toFixed(0)} ms`,
      };
    },
  },
  recoveryRow("client gone to slot proved free", async (stage) => abortToFree(await stage.simulated(false))),
  recoveryRow("dead server to no more calls", async (stage) => (await deaths(stage)).ejected),
  recoveryRow("dead server to shown as down at the edge", async (stage) => (await deaths(stage)).shown),
  recoveryRow("recovered server to its first call", async (stage) => (await deaths(stage)).used),
  recoveryRow("longest pause of a stream whose server died", async (stage) =>
    continuationGap(await stage.simulated(true)),
  ),
  ...PEER_ROWS,
];

type Contenders = (stage: Stage, kind: Kind) => Promise<Contender>;

/** The bound, then the design's goal if that isn't reached. */
type Limits = readonly [atMost: number, goal?: number];

function bound(on: Bound["on"], [atMost, goal]: Limits): Bound {
  return goal === undefined ? { on, atMost } : { on, atMost, goal };
}

function cpuRow(
  name: string,
  limits: Limits,
  pace: Pace,
  kind: Kind,
  [floor, ours]: readonly [Contenders, Contenders],
): Row {
  return {
    name,
    unit: "µs",
    bound: bound("ratio", limits),
    async measure(stage, progress) {
      const found = await measureCpuPairs({
        floor: await floor(stage, kind),
        ours: await ours(stage, kind),
        pace,
        unitsPerCall: kind === "json" ? 1 : EVENTS,
        onRound: onRound(progress),
      });
      const { oursUs: figure, floorUs, ratio, mainThreadRatio } = found;
      const note = mainThreadRatio === null ? "" : `main thread ${mainThreadRatio.toFixed(2)} ×`;
      return { figure, floor: floorUs, ratio, note, detail: { ...found } };
    },
  };
}

/** `figures` of the interleaved calls, straight to the origin and through both hops. */
function latencyRow(
  name: string,
  kind: Kind,
  limits: Limits | null,
  figures: (pairs: AnswerPairs) => { readonly addedMs: number; readonly directMs: number },
): Row {
  return {
    name,
    unit: "ms",
    bound: limits === null ? null : bound("figure", limits),
    async measure(stage) {
      const found = figures(await stage.once(`answers: ${kind}`, () => interleaved(stage, kind)));
      return { figure: found.addedMs, floor: found.directMs, ratio: null, detail: { ...found } };
    },
  };
}

async function interleaved(stage: Stage, kind: Kind): Promise<AnswerPairs> {
  const [origin, whole] = await Promise.all([stage.origin(), stage.wholeEdge()]);
  const calls = stage.clientCalls(kind);
  return answerPairs({ url: origin.url, calls }, { url: whole.url, calls }, LATENCY_TURNS);
}

function recoveryRow(name: string, measure: (stage: Stage) => Promise<Spread>): Row {
  return {
    name,
    unit: "ms",
    bound: null,
    async measure(stage) {
      const { p50Ms, p99Ms, maxMs } = await measure(stage);
      const note = `p99 ${p99Ms.toFixed(0)} ms, max ${maxMs.toFixed(0)} ms`;
      return { ...alone(p50Ms, { p50Ms, p99Ms, maxMs }), note };
    },
  };
}

/** One series of deaths serves three rows. */
function deaths(stage: Stage): ReturnType<typeof deathTimes> {
  return stage.once("deaths", async () => deathTimes(await stage.simulated(false)));
}

async function floorEdge(stage: Stage, kind: Kind): Promise<Contender> {
  return contender(await stage.floorEdge(), stage.clientCalls(kind));
}

async function edge(stage: Stage, kind: Kind): Promise<Contender> {
  return contender(await stage.edge(), stage.clientCalls(kind));
}

async function floorAgent(stage: Stage, kind: Kind): Promise<Contender> {
  return contender(await stage.floorAgent(), await stage.agentCalls(kind));
}

async function agent(stage: Stage, kind: Kind): Promise<Contender> {
  return contender(await stage.agent(), await stage.agentCalls(kind));
}

async function passingAgent(stage: Stage): Promise<Contender> {
  return agent(stage, "stream");
}

function contender({ url, pid }: Running, calls: readonly Call[]): Contender {
  return { url, pids: [pid], calls };
}

function onRound(progress: (text: string) => void): (round: number, rounds: number) => void {
  return (round, rounds) => progress(`round ${round} of ${rounds}`);
}

function alone(figure: number, detail: Measured["detail"]): Measured {
  return { figure, floor: null, ratio: null, detail };
}

function firstOf(calls: readonly Call[]): Call {
  const [call] = calls;
  if (call === undefined) throw new Error("the fleet has no server");
  return call;
}
