// Measures a program without load: its CPU time while idle, and the memory that calls leave behind.
import { setTimeout as pause } from "node:timers/promises";
import type { Call } from "./calls.ts";
import { exactCpuSeconds } from "./cpu-time.ts";
import { sendMany } from "./load.ts";
import { residentMb } from "./open-streams.ts";
import type { Running } from "../stage.ts";

/** After a load, timers of its calls may still run. */
const SETTLE_MS = 10_000;
const IDLE_SAMPLE_MS = 30_000;
/** The heap has its size by then. */
const WARM_UP_CALLS = 5_000;

/** @returns per cent of one core */
export async function idleCpuPercent({ pid }: Running): Promise<number> {
  await pause(SETTLE_MS);
  const [cpu, clock] = [exactCpuSeconds(pid), performance.now()];
  await pause(IDLE_SAMPLE_MS);
  return ((exactCpuSeconds(pid) - cpu) / ((performance.now() - clock) / 1000)) * 100;
}

/** Resident memory before and after so many calls, MB. */
export async function memoryGrowth(
  program: Running,
  calls: readonly Call[],
  count: number,
): Promise<{ readonly beforeMb: number; readonly afterMb: number }> {
  await sendMany(program.url, calls, WARM_UP_CALLS);
  const beforeMb = await residentMb(program.pid);
  await sendMany(program.url, calls, count);
  return { beforeMb, afterMb: await residentMb(program.pid) };
}
