// The rows of the design's cost table and how each is measured. A further row is one more entry
// of `ROWS`, with what it needs of the stage in its `measure`.
import { measureMemory } from "./agent-memory.ts";
import { gzippedBytes } from "./bundle-size.ts";
import { EVENTS, type Kind } from "./calls.ts";
import { measureCpuPairs, type Contender, type CpuPairsPlan } from "./cpu-pairs.ts";
import { measureFirstByte } from "./first-byte.ts";
import { measureRefusals } from "./refusal-flood.ts";
import { measureSlotIdle } from "./slot-idle.ts";
import type { Running, Stage } from "./stage.ts";

export interface Measured {
  readonly figure: number;
  /** The floor's figure in the same unit, and how many times that ours is; null without a floor. */
  readonly floor: number | null;
  readonly ratio: number | null;
  /** For `--json`. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface Row {
  readonly name: string;
  readonly unit: "µs" | "KB" | "MB" | "ms";
  /** What is held to it: the figure, or its ratio to the floor. */
  readonly bound: { readonly on: "ratio" | "figure"; readonly atMost: number };
  readonly measure: (stage: Stage, progress: (text: string) => void) => Promise<Measured>;
}

/** The floor of Mediczy's translation is the agent itself, passing the same stream through. */
export const ROWS: readonly Row[] = [
  cpuRow("edge, CPU a request", 1.5, "edge requests", floorEdge, edge),
  cpuRow("edge, CPU a streamed event", 1.35, "streams", floorEdge, edge),
  cpuRow("agent, CPU a request", 1.5, "agent requests", floorAgent, agent),
  cpuRow("agent, CPU a streamed event, pass-through", 1.2, "streams", floorAgent, agent),
  cpuRow("Mediczy translation, CPU a streamed event", 2, "streams", agent, translatingAgent),
  {
    name: "edge, CPU a refusal under flood, over a served request",
    unit: "µs",
    bound: { on: "ratio", atMost: 0.3 },
    async measure(stage, progress) {
      const onRound = (round: number, rounds: number): void => progress(`round ${round} of ${rounds}`);
      const found = await measureRefusals(await stage.edge(), stage.clientCalls("json"), onRound);
      const { refusedUs, servedUs, ratio } = found;
      return { figure: refusedUs, floor: servedUs, ratio, detail: { ...found } };
    },
  },
  {
    name: "Worker bundle, gzipped",
    unit: "KB",
    bound: { on: "figure", atMost: 100 },
    async measure(stage) {
      const bytes = gzippedBytes(await stage.edgeBundle());
      return { figure: bytes / 1000, floor: null, ratio: null, detail: { bytes } };
    },
  },
  {
    name: "agent, memory at 1,000 open streams of 400 events",
    unit: "MB",
    bound: { on: "figure", atMost: 150 },
    async measure(stage) {
      const { agent: program } = await stage.agentWithSlots(WIDE_SLOTS);
      const seen = await measureMemory(
        program,
        await stage.agentCalls("stream", STREAM_TOKENS),
        OPEN_STREAMS,
      );
      return { figure: seen.most, floor: seen.before, ratio: null, detail: { ...seen } };
    },
  },
  {
    name: "slot idle between two queued calls",
    unit: "ms",
    bound: { on: "figure", atMost: 5 },
    async measure(stage) {
      const { agent: program, origin } = await stage.agentWithSlots(1);
      const [call] = await stage.agentCalls("json");
      if (call === undefined) throw new Error("the fleet has no server");
      const seen = await measureSlotIdle(program, origin, call);
      return { figure: seen.p50Ms, floor: null, ratio: null, detail: { ...seen } };
    },
  },
  {
    name: "added time to first byte, both hops",
    unit: "ms",
    bound: { on: "figure", atMost: 5 },
    async measure(stage) {
      const [origin, whole] = await Promise.all([stage.origin(), stage.wholeEdge()]);
      const calls = stage.clientCalls("stream", 1);
      const found = await measureFirstByte({ url: origin.url, calls }, { url: whole.url, calls });
      return { figure: found.addedP50Ms, floor: found.directP50Ms, ratio: null, detail: { ...found } };
    },
  },
];

const OPEN_STREAMS = 1_000;
/** With the events around them 400. */
const STREAM_TOKENS = 396;
/** Of each of the box's servers: enough for all streams at once. */
const WIDE_SLOTS = 256;

type Contenders = (stage: Stage, kind: Kind) => Promise<Contender>;

function cpuRow(
  name: string,
  atMost: number,
  pace: CpuPairsPlan["pace"],
  floor: Contenders,
  ours: Contenders,
): Row {
  return {
    name,
    unit: "µs",
    bound: { on: "ratio", atMost },
    async measure(stage, progress) {
      const kind = pace === "streams" ? "stream" : "json";
      const found = await measureCpuPairs({
        floor: await floor(stage, kind),
        ours: await ours(stage, kind),
        pace,
        unitsPerCall: kind === "stream" ? EVENTS : 1,
        onRound: (round, rounds) => progress(`round ${round} of ${rounds}`),
      });
      return { figure: found.oursUs, floor: found.floorUs, ratio: found.ratio, detail: { ...found } };
    },
  };
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

async function translatingAgent(stage: Stage): Promise<Contender> {
  return contender(await stage.agent(), await stage.agentCalls("mediczy"));
}

function contender(program: Running, calls: Contender["calls"]): Contender {
  return { program, calls };
}
