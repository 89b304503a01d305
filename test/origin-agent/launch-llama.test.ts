// The launcher with simulators in llama-server's place.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MARK, MODEL } from "./llama-log.ts";

const LAUNCHER = fileURLToPath(new URL("../../origin-agent/launch-llama.sh", import.meta.url));
const SIMULATOR = fileURLToPath(new URL("../sim/llama-server.ts", import.meta.url));

interface Launched {
  readonly child: ChildProcess;
  readonly port: number;
  /** All that a log would hold. */
  readonly log: () => string;
}

let folder = "";
let launched: Launched[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "isha-launch-"));
});
afterEach(async () => {
  for (const { child } of launched) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
  launched = [];
  rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function launch(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Launched> {
  const port = await freePort();
  const args = [LAUNCHER, String(port), ...command, "--port", String(port), "-m", MODEL];
  const child = spawn("bash", args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ISHA_NODE: process.execPath, ISHA_GPU_CHECK: "", ...environment },
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (log += String(chunk)));
  const made = { child, port, log: () => log };
  launched.push(made);
  return made;
}

const simulator = (...flags: string[]): string[] => [process.execPath, SIMULATOR, ...flags];

/** A program of the shell's in llama-server's place. */
function script(text: string): string[] {
  const path = join(folder, "server.sh");
  writeFileSync(path, `#!/usr/bin/env bash\n${text}\n`, { mode: 0o755 });
  return [path];
}

async function healthOf({ port }: Launched): Promise<number> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health`)).status;
  } catch {
    return 0;
  }
}

async function until(what: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  for (const deadline = performance.now() + withinMs; !(await what()); await pause(20)) {
    if (performance.now() > deadline) throw new Error(`it never came: ${String(what)}`);
  }
}

describe("the launcher", () => {
  it("becomes the server: its process id, its signals, its end", async () => {
    const server = await launch(simulator());
    await until(async () => (await healthOf(server)) === 200);
    const commandLine = readFileSync(`/proc/${server.child.pid}/cmdline`, "utf8");
    expect(commandLine.split("\0")[1]).toBe(SIMULATOR);
    server.child.kill("SIGTERM");
    expect(await once(server.child, "exit")).toEqual([0, null]);
  });

  it("lets through to the log what the filter lets through, of both outputs, to the last line", async () => {
    const server = await launch(
      script(`echo 'main: loading model'; echo '${MARK}' >&2; echo 'CUDA error: out of memory' >&2; exit 3`),
    );
    const [code] = (await once(server.child, "close")) as [number];
    expect(code).toBe(3);
    const log = server.log().replace("launch: waiting while another server loads\n", "");
    expect(log).toBe("main: loading model\n(… 1 line withheld)\nCUDA error: out of memory\n");
  });

  it("gives the server no flags from the environment and no channel of PM2's", async () => {
    const server = await launch(script(`env >"${folder}/env"`), {
      LLAMA_ARG_HOST: "0.0.0.0",
      NODE_CHANNEL_FD: "3",
    });
    await once(server.child, "exit");
    const environment = readFileSync(join(folder, "env"), "utf8");
    expect(environment).toContain("ISHA_NODE=");
    expect(environment).not.toMatch(/^(LLAMA_|NODE_CHANNEL)/m);
  });

  it("says what is missing where the server or Node isn't there", async () => {
    const none = join(folder, "none");
    for (const [command, node] of [
      [[none], process.execPath],
      [simulator(), none],
    ] as const) {
      const server = await launch(command, { ISHA_NODE: node });
      const [code] = (await once(server.child, "close")) as [number];
      expect(code).toBe(1);
      expect(server.log()).toBe(`launch: ${none} can't be run: it isn't there or isn't a program\n`);
    }
  });

  it("waits for the GPU, and says so", async () => {
    const server = await launch(simulator(), { ISHA_GPU_CHECK: `test -e ${folder}/gpu` });
    await until(() => server.log().includes(`launch: waiting for the GPU: test -e ${folder}/gpu\n`));
    await pause(300);
    expect(await healthOf(server)).toBe(0);
    writeFileSync(join(folder, "gpu"), "");
    await until(async () => (await healthOf(server)) === 200);
  });

  it("can be stopped while it waits", async () => {
    const server = await launch(simulator(), { ISHA_GPU_CHECK: "false" });
    await until(() => server.log() !== "");
    server.child.kill("SIGTERM");
    expect(await once(server.child, "exit")).toEqual([null, "SIGTERM"]);
  });
});

const canLock = spawnSync("flock", ["--version"]).status === 0;
describe.skipIf(!canLock)("servers that are started together", () => {
  it("load one after another", async () => {
    const servers = await Promise.all([1, 2, 3].map(() => launch(simulator("--sim-load-ms", "700"))));
    let most = 0;
    await until(async () => {
      const states = await Promise.all(servers.map(healthOf));
      most = Math.max(most, states.filter((state) => state === 503).length);
      return states.every((state) => state === 200);
    });
    expect(most).toBe(1);
  });

  it("don't wait for one that died while it loaded", async () => {
    const first = await launch(simulator("--sim-load-ms", "60000"));
    await until(async () => (await healthOf(first)) === 503);
    const second = await launch(simulator());
    await until(() => second.log().includes("launch: waiting while another server loads"));
    first.child.kill("SIGKILL");
    await until(async () => (await healthOf(second)) === 200, 5_000);
  });
});
