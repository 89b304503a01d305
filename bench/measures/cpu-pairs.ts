// Measures the CPU time of floor and ours under the same load, one right after the other, several times.
import { median, pairedRatio, type Pair } from "../statistics.ts";
import type { Call } from "./calls.ts";
import { mainThreadSeconds, treeCpuSeconds } from "./cpu-time.ts";
import { applyLoad } from "./load.ts";

/** Odd, so that the median is one that was measured. */
const ROUNDS = 7;
/** V8 compiles what runs often; a figure of the first thousand calls is one of its interpreter. */
const WARM_UP_MS = 8_000;
const SAMPLE_MS = 2_500;
/** A working process uses more: one that used less is the wrong one. */
const MIN_CPU_S = 0.03;

/** Calls per second at most (null: as fast as they are answered), and calls at a time. */
export interface Pace {
  readonly perSecond: number | null;
  readonly concurrency: number;
}

/** Below the key's limit of 1,000 per second and below what either program can serve. */
export const PACED: Pace = { perSecond: 500, concurrency: 32 };
export const SATURATED: Pace = { perSecond: null, concurrency: 32 };
/** The edge's load below its key's limit of 1,000 per second. */
export const EDGE_PACE: Pace = { perSecond: 600, concurrency: 32 };
export const STREAMS: Pace = { perSecond: null, concurrency: 16 };

export interface Contender {
  readonly url: string;
  /** The processes that count, with their children. The first one's main thread is reported separately. */
  readonly pids: readonly number[];
  readonly calls: readonly Call[];
}

export interface CpuPairsPlan {
  readonly floor: Contender;
  readonly ours: Contender;
  readonly pace: Pace;
  /** Divides a call's CPU time: the events of its answer, or 1. */
  readonly unitsPerCall: number;
  readonly onRound: (round: number, rounds: number) => void;
}

/** Microseconds per unit, and their ratios. */
export interface CpuPairs {
  readonly floorUs: number;
  readonly oursUs: number;
  readonly ratio: number;
  /** Null if the system doesn't count threads. */
  readonly mainThreadRatio: number | null;
  readonly pairs: readonly Pair[];
  /** Pieces per answer, by contender: different numbers mean that they weren't given the same work. */
  readonly chunksPerCall: Pair;
}

interface Sample {
  readonly us: number;
  readonly mainThreadUs: number | null;
  readonly chunksPerCall: number;
}

export async function measureCpuPairs(plan: CpuPairsPlan): Promise<CpuPairs> {
  const samples: { readonly floor: Sample; readonly ours: Sample }[] = [];
  for (const contender of [plan.floor, plan.ours]) await sample(contender, plan, WARM_UP_MS);
  for (let round = 1; round <= ROUNDS; round += 1) {
    plan.onRound(round, ROUNDS);
    const floor = await sample(plan.floor, plan, SAMPLE_MS);
    samples.push({ floor, ours: await sample(plan.ours, plan, SAMPLE_MS) });
  }
  const pairsOf = (figure: (one: Sample) => number): Pair[] =>
    samples.map(({ floor, ours }) => ({ floor: figure(floor), ours: figure(ours) }));
  const pairs = pairsOf(({ us }) => us);
  const hasThreads = samples.every(
    ({ floor, ours }) => floor.mainThreadUs !== null && ours.mainThreadUs !== null,
  );
  const chunks = pairsOf(({ chunksPerCall }) => chunksPerCall);
  return {
    floorUs: median(pairs.map(({ floor }) => floor)),
    oursUs: median(pairs.map(({ ours }) => ours)),
    ratio: pairedRatio(pairs),
    mainThreadRatio: hasThreads ? pairedRatio(pairsOf(({ mainThreadUs }) => mainThreadUs ?? 0)) : null,
    pairs,
    chunksPerCall: {
      floor: median(chunks.map(({ floor }) => floor)),
      ours: median(chunks.map(({ ours }) => ours)),
    },
  };
}

async function sample(
  { url, pids, calls }: Contender,
  { pace, unitsPerCall }: CpuPairsPlan,
  durationMs: number,
): Promise<Sample> {
  const before = cpuOf(pids);
  const { answers, chunks } = await applyLoad({ url, calls, durationMs, ...pace });
  const after = cpuOf(pids);
  const used = after.all - before.all;
  if (used < MIN_CPU_S) {
    throw new Error(
      `processes ${pids.join(", ")} used ${used} s of CPU for ${answers} calls: are they the right ones?`,
    );
  }
  const perUnit = (seconds: number): number => (seconds * 1e6) / (answers * unitsPerCall);
  const hasThreads = before.main !== null && after.main !== null;
  return {
    us: perUnit(used),
    mainThreadUs: hasThreads ? perUnit(after.main - before.main) : null,
    chunksPerCall: chunks / answers,
  };
}

/** Seconds. */
function cpuOf(pids: readonly number[]): { readonly all: number; readonly main: number | null } {
  const [first] = pids;
  return {
    all: pids.reduce((sum, pid) => sum + treeCpuSeconds(pid), 0),
    main: first === undefined ? null : mainThreadSeconds(first),
  };
}
