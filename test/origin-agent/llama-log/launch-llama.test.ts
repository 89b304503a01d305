// The launcher with simulators instead of llama-server.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../../../scripts/stack/ports.ts";
import { until } from "../../support/until.ts";
import { MARK, MODEL } from "../support/llama-log.ts";

const AGENT = fileURLToPath(new URL("../../../origin-agent/llama-log/", import.meta.url));
const LAUNCHER = readFileSync(join(AGENT, "launch-llama.sh"), "utf8");
const LOAD_LIMIT = "load_limit=60\n";
const SIMULATOR = fileURLToPath(new URL("../../sim/llama-server.ts", import.meta.url));

interface Launched {
  readonly child: ChildProcess;
  readonly port: number;
  /** The log so far. */
  readonly log: () => string;
}

let folder = "";
let launched: Launched[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "isha-launch-"));
  // Servers take turns with a lock on the launcher itself, so each test has its own copy. No load here may time out,
  // however slow this machine is.
  expect(LAUNCHER).toContain(LOAD_LIMIT);
  writeFileSync(join(folder, "launch-llama.sh"), LAUNCHER.replace(LOAD_LIMIT, "load_limit=3600\n"));
  symlinkSync(join(AGENT, "filter.ts"), join(folder, "filter.ts"));
});
afterEach(async () => {
  for (const { child } of launched) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
  launched = [];
  rmSync(folder, { recursive: true, force: true });
});

async function launch(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Launched> {
  const port = await freePort();
  const args = [
    join(folder, "launch-llama.sh"),
    String(port),
    ...command,
    "--port",
    String(port),
    "-m",
    MODEL,
  ];
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

/** A shell script instead of llama-server. */
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

describe("the launcher", () => {
  it("becomes the server, with its pid, signals and exit code", async () => {
    const server = await launch(simulator());
    await until(async () => (await healthOf(server)) === 200);
    const commandLine = readFileSync(`/proc/${server.child.pid}/cmdline`, "utf8");
    expect(commandLine.split("\0")[1]).toBe(SIMULATOR);
    server.child.kill("SIGTERM");
    expect(await once(server.child, "exit")).toEqual([0, null]);
  });

  it("logs what the filter passes of stdout and stderr, up to the last line", async () => {
    const server = await launch(
      script(`echo 'main: loading model'; echo '${MARK}' >&2; echo 'CUDA error: out of memory' >&2; exit 3`),
    );
    const [code] = (await once(server.child, "close")) as [number];
    expect(code).toBe(3);
    expect(server.log()).toBe("main: loading model\n(… 1 line withheld)\nCUDA error: out of memory\n");
  });

  it("removes flags and PM2's channel from the server's environment", async () => {
    const server = await launch(script(`env >"${folder}/env"`), {
      LLAMA_ARG_HOST: "0.0.0.0",
      NODE_CHANNEL_FD: "3",
    });
    await once(server.child, "exit");
    const environment = readFileSync(join(folder, "env"), "utf8");
    expect(environment).toContain("ISHA_NODE=");
    expect(environment).not.toMatch(/^(LLAMA_|NODE_CHANNEL)/m);
  });

  it("names what is missing if the server or Node isn't there", async () => {
    const none = join(folder, "none");
    for (const [command, node] of [
      [[none], process.execPath],
      [simulator(), none],
    ] as const) {
      const server = await launch(command, { ISHA_NODE: node });
      const [code] = (await once(server.child, "close")) as [number];
      expect(code).toBe(1);
      expect(server.log()).toBe(`launch: ${none} can't be run: it doesn't exist or isn't executable\n`);
    }
  });

  it("waits for the GPU and logs it", async () => {
    const check = join(folder, "gpu-check.sh");
    // Fails once, then blocks until the GPU is there.
    const lines = [
      "#!/bin/sh",
      `echo called >>"${folder}/calls"`,
      `[ "$(wc -l <"${folder}/calls")" -gt 1 ] || exit 1`,
      `until [ -e "${folder}/gpu" ]; do sleep 0.05; done`,
    ];
    writeFileSync(check, lines.join("\n"), { mode: 0o755 });
    const server = await launch(simulator(), { ISHA_GPU_CHECK: check });
    await until(
      () => readFileSync(join(folder, "calls"), "utf8").startsWith("called\ncalled\n"),
      "the second check",
    );
    await until(() => server.log() === `launch: waiting for the GPU: ${check}\n`);
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
describe.skipIf(!canLock)("servers that start at the same time", () => {
  const WAITS = "launch: waiting while another server loads";

  it("load one after another, each when the previous one is ready", async () => {
    const waiting = new Set(await Promise.all([1, 2, 3].map(launchLoading)));
    for (let turn = 1; turn <= 3; turn += 1) {
      const [loading] = await until(async () => {
        const states = await Promise.all(
          [...waiting].map(async (server) => [server, await healthOf(server)] as const),
        );
        const begun = states.filter(([, state]) => state !== 0).map(([server]) => server);
        // All the others are waiting.
        const others = [...waiting].filter((server) => !begun.includes(server));
        return begun.length > 0 && others.every((server) => server.log().includes(WAITS)) ? begun : null;
      }, `server ${turn} loads and the others wait`);
      if (loading === undefined) throw new Error("no server loads");
      waiting.delete(loading);
      expect(await healthOf(loading)).toBe(503);
      expect(await Promise.all([...waiting].map(healthOf))).toEqual([...waiting].map(() => 0));
      await loading.loaded();
      await until(async () => (await healthOf(loading)) === 200);
    }
  });

  it("don't wait for one that died while loading", async () => {
    const first = await launchLoading();
    await until(async () => (await healthOf(first)) === 503);
    const second = await launch(simulator());
    await until(() => second.log().includes(WAITS));
    first.child.kill("SIGKILL");
    // The first one's load limit is far from reached.
    await until(async () => (await healthOf(second)) === 200);
  });

  /** Launches a server that loads until `loaded` is called. */
  async function launchLoading(): Promise<Launched & { loaded: () => Promise<unknown> }> {
    const control = await freePort();
    const flags = ["--sim-control-port", String(control), "--sim-switches", '{"loading":true}'];
    const body = JSON.stringify({ loading: false });
    return {
      ...(await launch(simulator(...flags))),
      // The control port opens after the server's own.
      loaded: () => until(() => fetch(`http://127.0.0.1:${control}/switches`, { method: "POST", body })),
    };
  }
});
