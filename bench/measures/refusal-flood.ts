// Measures the cost of refusing a key that is far over its limit, relative to the cost of serving the same calls.
import { setTimeout as pause } from "node:timers/promises";
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { createKeys, withKey } from "./keys.ts";
import { applyLoad } from "./load.ts";
import type { Running } from "../stage.ts";
import { median, pairedRatio, type Pair } from "../statistics.ts";

/** Odd, so that the median is one that was measured. */
const ROUNDS = 7;
const WARM_UP_MS = 5_000;
const SAMPLE_MS = 2_500;
/** Calls a second: under the serving key's limit of 1,000, far over the refused one's of 1. */
const PER_SECOND = 600;
const CONCURRENCY = 8;

export interface RefusalCost {
  readonly servedUs: number;
  readonly refusedUs: number;
  readonly ratio: number;
  readonly pairs: readonly Pair[];
}

export async function measureRefusals(
  edge: Running,
  calls: readonly Call[],
  onRound: (round: number, rounds: number) => void,
): Promise<RefusalCost> {
  const [key = ""] = await createKeys(edge.url, 1, { perSecond: 1 });
  const flood = calls.map((call) => withKey(call, key));
  await served(edge, calls, WARM_UP_MS);
  await refused(edge, flood, WARM_UP_MS);
  const pairs: Pair[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    onRound(round, ROUNDS);
    const floor = await served(edge, calls, SAMPLE_MS);
    pairs.push({ floor, ours: await refused(edge, flood, SAMPLE_MS) });
  }
  return {
    servedUs: median(pairs.map((pair) => pair.floor)),
    refusedUs: median(pairs.map((pair) => pair.ours)),
    ratio: pairedRatio(pairs),
    pairs,
  };
}

/** Microseconds a call. */
async function served(edge: Running, calls: readonly Call[], durationMs: number): Promise<number> {
  const before = cpuSeconds(edge.pid);
  const plan = { url: edge.url, calls, durationMs, concurrency: CONCURRENCY, perSecond: PER_SECOND };
  const { answers } = await applyLoad(plan);
  return ((cpuSeconds(edge.pid) - before) * 1e6) / answers;
}

async function refused(edge: Running, calls: readonly Call[], durationMs: number): Promise<number> {
  const pool = new Pool(edge.url, { connections: CONCURRENCY });
  const before = cpuSeconds(edge.pid);
  const started = performance.now();
  let begun = 0;
  let answers = 0;
  async function worker(): Promise<void> {
    for (;;) {
      const early = started + (begun * 1000) / PER_SECOND - performance.now();
      const call = calls[begun % calls.length];
      begun += 1;
      if (early > 0) await pause(early);
      if (call === undefined || performance.now() - started > durationMs) return;
      const { path, headers, body } = call;
      const answer = await pool.request({ path, method: "POST", headers, body });
      await answer.body.dump();
      // One a second is let in.
      if (answer.statusCode !== 429 && answer.statusCode !== 200)
        throw new Error(`a call was answered with ${answer.statusCode}`);
      answers += 1;
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } finally {
    await pool.destroy();
  }
  return ((cpuSeconds(edge.pid) - before) * 1e6) / answers;
}
