// Opens many streams at once: the agent's memory with a thousand of them, and how many of 512 through both hops pause
// for longer than a reader would notice.
import { execFile } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { send, type TimedAnswer } from "./load.ts";
import type { Running } from "../stage.ts";

const run = promisify(execFile);

const SAMPLE_INTERVAL_MS = 100;
/** A pause between two pieces that counts as a stall: tokens of the slowest model here are 60 ms apart. */
const STALL_MS = 1_000;

/** Resident memory, MB. */
export interface Memory {
  readonly beforeMb: number;
  readonly peakMb: number;
}

/** Streams `open` of the calls at once, to their ends. */
export async function measureMemory(agent: Running, calls: readonly Call[], open: number): Promise<Memory> {
  const beforeMb = await residentMb(agent.pid);
  let peakMb = beforeMb;
  const ended = new AbortController();
  const sampling = (async () => {
    while (!ended.signal.aborted) {
      peakMb = Math.max(peakMb, await residentMb(agent.pid));
      await pause(SAMPLE_INTERVAL_MS);
    }
  })();
  try {
    await streamAll(agent.url, calls, open);
  } finally {
    ended.abort();
    await sampling;
  }
  return { beforeMb, peakMb };
}

export interface Stalls {
  readonly stalled: number;
  readonly open: number;
  readonly longestMs: number;
}

/** Counts the streams with a pause over a second, of `open` at once. */
export async function measureStalls(url: string, calls: readonly Call[], open: number): Promise<Stalls> {
  const answers = await streamAll(url, calls, open);
  const longest = answers.map(({ gapsMs }) => Math.max(0, ...gapsMs));
  return {
    stalled: longest.filter((gap) => gap > STALL_MS).length,
    open,
    longestMs: Math.max(...longest),
  };
}

/** Resident memory, MB. */
export async function residentMb(pid: number): Promise<number> {
  const { stdout } = await run("ps", ["-o", "rss=", "-p", String(pid)]);
  return (Number(stdout.trim()) * 1024) / 1e6;
}

async function streamAll(url: string, calls: readonly Call[], open: number): Promise<TimedAnswer[]> {
  const pool = new Pool(url, { connections: open, headersTimeout: 0, bodyTimeout: 0 });
  try {
    const chosen = Array.from({ length: open }, (_, at) => calls[at % calls.length]);
    return await Promise.all(chosen.flatMap((call) => (call === undefined ? [] : [send(pool, call)])));
  } finally {
    await pool.destroy();
  }
}
