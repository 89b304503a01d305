import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { processParents } from "../../../origin-agent/probes/process-parents.ts";

it.runIf(process.platform === "linux")("returns a process's ancestors, up to this one", async () => {
  const shell = spawn("sh", ["-c", "sleep 60 & echo $!; wait"], { stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
  const child = Number((await lines.next()).value);
  try {
    const parents = await processParents([child]);
    expect(parents.get(child)).toBe(shell.pid);
    expect(parents.get(shell.pid ?? -1)).toBe(process.pid);
  } finally {
    process.kill(child, "SIGKILL");
    shell.kill("SIGKILL");
  }
});

it("returns nothing for a process that doesn't exist", async () => {
  expect(await processParents([2 ** 30])).toEqual(new Map());
});
