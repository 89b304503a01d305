// A single look at the processes on the cards, by an nvidia-smi that ends: only its end tells "there is none"
// from "it hangs".
import { spawn } from "node:child_process";
import { PROCESS_QUERY, readProcessLine, type GpuProcess } from "./gpu-csv.ts";

/** Most output read of a single look, characters. */
const MAX_LOOK = 256 * 1024;

export interface QueryOptions {
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
  readonly timeoutMs: number;
}

/** Asks for the processes once; null where the answer isn't one. An answer without a line is: there are none. */
export function queryOnce(
  { command: [program, ...first], env, timeoutMs }: QueryOptions,
  done: (processes: readonly GpuProcess[] | null) => void,
): { readonly stop: () => void } {
  const child = spawn(program, [...first, ...PROCESS_QUERY], { env, stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    if (text.length < MAX_LOOK) text += part;
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
