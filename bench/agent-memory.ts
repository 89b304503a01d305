// Measures the agent's memory while a thousand clients stream at the same time.
import { execFile } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { send } from "./load.ts";
import type { Running } from "./stage.ts";

const run = promisify(execFile);

/** Interval at which the process is sampled. */
const LOOK_MS = 100;

export interface MemorySeen {
  readonly before: number;
  /** The most it came to, MB. */
  readonly most: number;
}

/** Streams `open` of the calls at once, to their ends. */
export async function measureMemory(
  agent: Running,
  calls: readonly Call[],
  open: number,
): Promise<MemorySeen> {
  const before = await residentMb(agent.pid);
  let most = before;
  const over = new AbortController();
  const looking = (async () => {
    while (!over.signal.aborted) {
      most = Math.max(most, await residentMb(agent.pid));
      await pause(LOOK_MS);
    }
  })();
  const pool = new Pool(agent.url, { connections: open, headersTimeout: 0, bodyTimeout: 0 });
  try {
    await Promise.all(
      Array.from({ length: open }, async (_, at) => {
        const call = calls[at % calls.length];
        if (call !== undefined) await send(pool, call);
      }),
    );
  } finally {
    over.abort();
    await looking;
    await pool.destroy();
  }
  return { before, most };
}

/** Resident memory, MB. */
async function residentMb(pid: number): Promise<number> {
  const { stdout } = await run("ps", ["-o", "rss=", "-p", String(pid)]);
  return (Number(stdout.trim()) * 1024) / 1e6;
}
