// Measures how long a slot is idle between two waiting calls: from the end of an answer to the next call, as
// the server sees it.
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { send } from "./load.ts";
import { quantile } from "../statistics.ts";
import type { Running } from "../stage.ts";

/** Calls that wait at once for one slot: within the queue's places for a single key. */
const WAITING = 7;
const ROUNDS = 20;

export interface IdleSeen {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** @param call for a server of one slot. */
export async function measureSlotIdle(agent: Running, origin: Running, call: Call): Promise<IdleSeen> {
  const pool = new Pool(agent.url, { connections: WAITING });
  const times: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all(Array.from({ length: WAITING }, () => send(pool, call)));
      const seen = (await (await fetch(`${origin.url}/idle-times`)).json()) as number[];
      // The first of a round came after the pause between two rounds.
      times.push(...seen.slice(1));
    }
  } finally {
    await pool.destroy();
  }
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}
