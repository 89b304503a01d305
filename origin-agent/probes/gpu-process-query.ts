// Queries the GPUs' processes once, with an nvidia-smi that exits: only its exit distinguishes "no process" from a
// hang.
import { execFile } from "node:child_process";
import { PROCESS_QUERY, readProcessLine, type GpuProcess } from "./gpu-csv.ts";

/** Maximum output that is read, in bytes; a query with more has failed. */
const MAX_OUTPUT = 256 * 1024;

export interface QueryOptions {
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
  readonly timeoutMs: number;
}

/** Calls `done` with the processes (empty: there are none), or with null if the query failed. */
export function queryOnce(
  { command: [program, ...args], env, timeoutMs }: QueryOptions,
  done: (processes: readonly GpuProcess[] | null) => void,
): { readonly stop: () => void } {
  const options = { env, timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT } as const;
  try {
    const child = execFile(program, [...args, ...PROCESS_QUERY], options, (error, output) =>
      done(error === null ? processesIn(output) : null),
    );
    return { stop: () => void child.kill("SIGKILL") };
  } catch {
    // Node throws if there is no memory for a process.
    queueMicrotask(() => done(null));
    return { stop: () => undefined };
  }
}

function processesIn(output: string): readonly GpuProcess[] | null {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const processes = lines.map((line) => readProcessLine(line.trim())).filter((line) => line !== "none");
  return processes.includes(null) ? null : processes.filter((line) => line !== null);
}
