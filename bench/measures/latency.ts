// Compares what a client waits for through both hops with what it waits for at the origin itself: by turns, one call at
// a time on one connection each, so that what the machine does meanwhile falls on both.
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { send, type TimedAnswer } from "./load.ts";
import { quantile } from "../statistics.ts";

const WARM_UP = 50;

export interface Target {
  readonly url: string;
  readonly calls: readonly Call[];
}

export interface AnswerPairs {
  readonly direct: readonly TimedAnswer[];
  readonly through: readonly TimedAnswer[];
}

/** What the hops add to one figure, milliseconds: quantile minus quantile. */
export interface Added {
  readonly addedMs: number;
  readonly directMs: number;
  readonly throughMs: number;
}

/** @param turns measured pairs of calls, after the warm-up */
export async function answerPairs(direct: Target, through: Target, turns: number): Promise<AnswerPairs> {
  const pools = [
    new Pool(direct.url, { connections: 1 }),
    new Pool(through.url, { connections: 1 }),
  ] as const;
  const pairs = { direct: [] as TimedAnswer[], through: [] as TimedAnswer[] };
  try {
    for (let turn = 0; turn < WARM_UP + turns; turn += 1) {
      const answers = [
        await send(pools[0], callAt(direct.calls, turn)),
        await send(pools[1], callAt(through.calls, turn)),
      ] as const;
      if (turn < WARM_UP) continue;
      pairs.direct.push(answers[0]);
      pairs.through.push(answers[1]);
    }
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
  return pairs;
}

/** @param figures of one answer; @param at from 0 to 1 */
export function added(
  { direct, through }: AnswerPairs,
  figures: (answer: TimedAnswer) => readonly number[],
  at: number,
): Added {
  const directMs = quantile(direct.flatMap(figures), at);
  const throughMs = quantile(through.flatMap(figures), at);
  return { addedMs: throughMs - directMs, directMs, throughMs };
}

function callAt(calls: readonly Call[], turn: number): Call {
  const call = calls[turn % calls.length];
  if (call === undefined) throw new Error("there is no call to send");
  return call;
}
