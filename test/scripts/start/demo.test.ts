// The environment of the agents of `npm start`: a simulated card, or with --real the machine's own if nvidia-smi works.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import fleet from "../../../fleet.config.ts";
import { openDemo, type Demo } from "../../../scripts/start/demo.ts";

let folder: string;
let demo: Demo | undefined;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "driver-"))));
afterAll(() => rm(folder, { recursive: true }));
afterEach(async () => {
  vi.unstubAllEnvs();
  await demo?.end();
});

/** @param status how this machine's nvidia-smi ends */
async function withDriver(status: number, real: boolean): Promise<Demo> {
  await writeFile(join(folder, "nvidia-smi"), `#!/bin/sh\nexit ${status}\n`, { mode: 0o755 });
  vi.stubEnv("PATH", `${folder}${delimiter}${process.env["PATH"]}`);
  demo = await openDemo({ fleet, real, onStarted: () => undefined });
  return demo;
}

it.each([
  ["without --real, although it works", 0, false, true],
  ["with --real, if it fails", 9, true, true],
  ["with --real, if it works", 0, true, false],
])("nvidia-smi %s", async (_, status, real, simulated) => {
  const { agentEnv, gpuSimulated } = await withDriver(status, real);
  expect(gpuSimulated).toBe(simulated);
  const env = agentEnv("box1");
  expect(env["SIMULATED_GPU"]).toBe(simulated ? "1" : undefined);
  expect(env["NVIDIA_SMI"] !== undefined).toBe(simulated);
  expect(existsSync(join(env["PM2_HOME"] ?? "", "rpc.sock"))).toBe(true);
});

it("leaves nothing behind", async () => {
  const { agentEnv, end } = await withDriver(9, false);
  const card = agentEnv("box1")["NVIDIA_SMI_SIM"] ?? "";
  expect(await readFile(card, "utf8")).toBe("{}");
  await end();
  expect(existsSync(dirname(dirname(card)))).toBe(false);
});
