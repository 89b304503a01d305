import { expect, it } from "vitest";
import type { GpuProcess } from "../../../origin-agent/probes/gpu-csv.ts";
import { queryOnce } from "../../../origin-agent/probes/gpu-process-query.ts";

const query = (...command: readonly [string, ...string[]]): Promise<readonly GpuProcess[] | null> =>
  new Promise((resolve) => void queryOnce({ command, env: undefined, timeoutMs: 3_600_000 }, resolve));

const printing = (text: string, code = 0): Promise<readonly GpuProcess[] | null> =>
  query(process.execPath, "-e", `console.log(${JSON.stringify(text)}); process.exitCode = ${code};`, "--");

it("a query returns the processes that nvidia-smi prints, and an empty list if there is none", async () => {
  expect(await printing("7, 1024, GPU-1\n\n8, [N/A], GPU-1")).toEqual([
    { pid: 7, memoryGib: 1, gpuUuid: "GPU-1" },
    { pid: 8, memoryGib: null, gpuUuid: "GPU-1" },
  ]);
  expect(await printing("")).toEqual([]);
});

it("a query that fails, prints something else or too much, or can't be started is null, without an exception", async () => {
  expect(await printing("7, 1024, GPU-1", 6)).toBe(null);
  expect(await printing("No devices were found")).toBe(null);
  expect(await printing("7, 1024, GPU-1\n".repeat(40_000))).toBe(null);
  expect(await query("/nowhere/nvidia-smi")).toBe(null);
  // Node throws for a name with a NUL, as it does if there is no memory for a process.
  expect(await query("no\0name")).toBe(null);
});
