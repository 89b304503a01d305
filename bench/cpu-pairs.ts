// CPU time of floor and ours under the same load, one right after the other, several times over.
import type { Call } from "./calls.ts";
import { applyLoad } from "./load.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { median, pairedRatio, type Pair } from "./statistics.ts";
import type { Running } from "./stage.ts";

/** Odd, so that the median is one that was measured. */
const ROUNDS = 7;
/** V8 compiles what runs often; a figure of the first thousand calls is one of its interpreter. */
const WARM_UP_MS = 5_000;
const SAMPLE_MS = 2_500;
/** What works uses more: a process that used less is the wrong one. */
const MIN_CPU_S = 0.03;

/**
 * Calls a second at most, and calls at a time. The edge's pace stays under a key's limit of 1,000 a second;
 * the agent's calls cost less, so more of them are needed for as good a figure.
 */
const PACES = {
  "edge requests": { perSecond: 600, concurrency: 8 },
  "agent requests": { perSecond: 1500, concurrency: 8 },
  streams: { perSecond: null, concurrency: 16 },
};

export interface Contender {
  readonly program: Running;
  readonly calls: readonly Call[];
}

export interface CpuPairsPlan {
  readonly floor: Contender;
  readonly ours: Contender;
  readonly pace: keyof typeof PACES;
  /** What a call's CPU time is divided by: the events of its answer, or 1. */
  readonly unitsPerCall: number;
  readonly onRound: (round: number, rounds: number) => void;
}

/** Microseconds a unit, and how many of them. */
export interface CpuPairs {
  readonly floorUs: number;
  readonly oursUs: number;
  readonly ratio: number;
  readonly pairs: readonly Pair[];
  /** Pieces an answer came in, by contender: alike, or they weren't given the same work. */
  readonly chunksPerCall: Pair;
}

export async function measureCpuPairs(plan: CpuPairsPlan): Promise<CpuPairs> {
  const { floor, ours, onRound } = plan;
  const pairs: Pair[] = [];
  const chunks: Pair[] = [];
  for (const contender of [floor, ours]) await sample(contender, plan, WARM_UP_MS);
  for (let round = 1; round <= ROUNDS; round += 1) {
    onRound(round, ROUNDS);
    const first = await sample(floor, plan, SAMPLE_MS);
    const second = await sample(ours, plan, SAMPLE_MS);
    pairs.push({ floor: first.us, ours: second.us });
    chunks.push({ floor: first.chunksPerCall, ours: second.chunksPerCall });
  }
  return {
    floorUs: median(pairs.map((pair) => pair.floor)),
    oursUs: median(pairs.map((pair) => pair.ours)),
    ratio: pairedRatio(pairs),
    pairs,
    chunksPerCall: {
      floor: median(chunks.map((pair) => pair.floor)),
      ours: median(chunks.map((pair) => pair.ours)),
    },
  };
}

async function sample(
  { program, calls }: Contender,
  { pace, unitsPerCall }: CpuPairsPlan,
  durationMs: number,
): Promise<{ readonly us: number; readonly chunksPerCall: number }> {
  const before = cpuSeconds(program.pid);
  const { answers, chunks } = await applyLoad({ url: program.url, calls, durationMs, ...PACES[pace] });
  const used = cpuSeconds(program.pid) - before;
  if (used < MIN_CPU_S) {
    throw new Error(
      `process ${program.pid} used ${used} s of CPU for ${answers} calls: is it the right one?`,
    );
  }
  return { us: (used * 1e6) / (answers * unitsPerCall), chunksPerCall: chunks / answers };
}
