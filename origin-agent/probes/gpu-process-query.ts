// Queries the GPUs' processes once, with an nvidia-smi that exits: only its exit distinguishes "no process" from a
// hang.
import { spawn } from "node:child_process";
import { PROCESS_QUERY, readProcessLine, type GpuProcess } from "./gpu-csv.ts";

/** Maximum output that is read, in characters. */
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
  const child = spawn(program, [...args, ...PROCESS_QUERY], { env, stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    if (text.length < MAX_OUTPUT) text += part;
  });
  child.once("error", () => undefined);
  child.once("close", (code) => {
    clearTimeout(timer);
    const lines = text
      .split("\n")
      .flatMap((line) => (line.trim() === "" ? [] : [readProcessLine(line.trim())]));
    const processes = lines.filter((line) => line !== "none");
    done(code === 0 && !processes.includes(null) ? processes.filter((line) => line !== null) : null);
  });
  return { stop: () => void child.kill("SIGKILL") };
}
