import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  AGENT_KILL_TIMEOUT_MS,
  ecosystemText,
  type EcosystemOptions,
} from "../../../cli/generate/ecosystem.ts";
import fleet from "../../../fleet.config.ts";
import type { Box } from "../../../shared/fleet.ts";
import { agentCommand } from "../../../scripts/stack/commands.ts";
import { CALL_DEADLINE_MS } from "../../../shared/limits.ts";
import secondFleet from "../../fixtures/second-fleet.ts";
import { readSource } from "../../support/source-text.ts";

interface App {
  readonly name: string;
  readonly script: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly [setting: string]: unknown;
}

const north = firstBox(secondFleet.boxes);

/** The settings with which the benchmarks run an agent. */
const MEASURED = {
  port: 0,
  boxSecret: "s",
  llamaApiKey: "l",
  upstreamPorts: {},
  simulatedPorts: [],
  edgeUrl: "off",
  stateFolder: "/state",
  further: {},
};

let secrets = "";
beforeAll(() => {
  secrets = mkdtempSync(join(tmpdir(), "isha-secrets-"));
  for (const name of ["agent.env", "llama-api-key"]) writeFileSync(join(secrets, name), "x", { mode: 0o600 });
});
afterAll(() => rmSync(secrets, { recursive: true }));

function firstBox(boxes: readonly Box[]): Box {
  const [box] = boxes;
  if (box === undefined) throw new Error("the fleet has no box");
  return box;
}

/** The apps that PM2 loads from the file, in a shell with this environment. */
async function loaded(text: string, environment: NodeJS.ProcessEnv = {}): Promise<App[]> {
  const file = join(secrets, `ecosystem-${Math.random()}.config.cjs`);
  writeFileSync(file, text);
  for (const [name, value] of Object.entries({ ISHA_SECRETS: secrets, ...environment }))
    vi.stubEnv(name, value);
  try {
    const module = (await import(/* @vite-ignore */ file)) as { default: { apps: App[] } };
    return module.default.apps;
  } finally {
    vi.unstubAllEnvs();
  }
}

const appsOf = (options: EcosystemOptions = {}): Promise<App[]> =>
  loaded(ecosystemText(north, { root: "/srv/isha", ...options }));

async function appNamed(name: string, options: EcosystemOptions = {}): Promise<App> {
  const app = (await appsOf(options)).find((each) => each.name === name);
  if (app === undefined) throw new Error(`there is no app ${name}`);
  return app;
}

describe("the shipped ecosystem.config.cjs", () => {
  it("matches the fleet file's first box", () => {
    const made = ecosystemText(firstBox(fleet.boxes));
    const hint = "it is out of date; generate it again: npm run isha -- generate";
    expect(readSource("ecosystem.config.cjs") === made, hint).toBe(true);
  });

  it("contains no path of a machine except those of the fleet file", () => {
    const box = firstBox(fleet.boxes);
    const paths = readSource("ecosystem.config.cjs").match(/"\/[^"]*"/g) ?? [];
    expect(paths.length).toBeGreaterThan(0);
    const foreign = paths.filter(
      (path) => !path.startsWith(`"${box.modelsDir}/`) && path !== `"${box.llamaServerBin}"`,
    );
    expect(foreign).toEqual([]);
  });
});

describe("the programs that PM2 runs on a box", () => {
  it("are the agent and each server, named as in the fleet file", async () => {
    expect((await appsOf()).map((app) => app.name)).toEqual(["isha-agent", "tiny", "large", "vectors"]);
  });

  it("restart when they end, with growing pauses, and watch no files", async () => {
    for (const app of await appsOf()) {
      expect(app).toMatchObject({
        autorestart: true,
        exp_backoff_restart_delay: 100,
        watch: false,
        cwd: "/srv/isha",
      });
    }
  });

  it("inherit from the shell that started PM2 only what a program needs from its machine", async () => {
    const shell = { BOX_SECRET: "from the shell", LLAMA_ARG_HOST: "0.0.0.0", CUDA_VISIBLE_DEVICES: "1" };
    const apps = await loaded(ecosystemText(north), shell);
    expect(JSON.stringify(apps)).not.toMatch(/from the shell|LLAMA_ARG/);
    expect(apps.every((app) => app.env["CUDA_VISIBLE_DEVICES"] === "1")).toBe(true);
    // For PM2 this means no inherited environment instead of all of it.
    expect(apps.every((app) => JSON.stringify(app["filter_env"]) === '[""]')).toBe(true);
  });
});

describe("the Node that starts PM2", () => {
  /** Loads the file as a Node of these versions would. */
  function loadBy(versions: { readonly node: string; readonly sqlite?: string }): void {
    const old = { env: { ISHA_SECRETS: secrets }, version: `v${versions.node}`, versions };
    const require = createRequire(import.meta.url);
    runInNewContext(ecosystemText(north), { require, module: {}, process: old, __dirname: "/srv/isha" });
  }

  it.each([
    { node: "20.20.2" },
    { node: "24.14.0", sqlite: "3.50.4" },
    { node: "25.1.0", sqlite: "3.51.2" },
    { node: "22.99.0", sqlite: "3.53.4" },
  ])("is refused if it is too old, or its SQLite can corrupt the journal: $node, $sqlite", (versions) => {
    const message = `PM2 must be started by Node 24.21 or later, with SQLite 3.51.3 or later; this is v${versions.node}`;
    expect(() => loadBy(versions)).toThrow(message);
  });

  it.each([
    { node: "24.21.0", sqlite: "3.53.4" },
    { node: "26.0.0", sqlite: "3.51.3" },
  ])("may be $node with $sqlite", (versions) => {
    expect(() => loadBy(versions)).not.toThrow();
  });
});

describe("the agent", () => {
  it("is reloaded without interrupting a call: the old one runs until the new one is ready, and as long as a call may take", async () => {
    expect(await appNamed("isha-agent")).toMatchObject({
      script: "/srv/isha/origin-agent/main.ts",
      exec_mode: "cluster",
      instances: 1,
      wait_ready: true,
      kill_timeout: AGENT_KILL_TIMEOUT_MS,
      treekill: false,
    });
    expect(AGENT_KILL_TIMEOUT_MS).toBeGreaterThan(CALL_DEADLINE_MS);
  });

  it("reads its secrets from a file that PM2 never reads", async () => {
    const agent = await appNamed("isha-agent");
    const [loader = ""] = agent["node_args"] as readonly string[];
    expect(loader).toMatch(/^--import=file:\/\/\/srv\/isha\/origin-agent\/env-file\.ts\?file=/);
    expect(new URL(loader.slice("--import=".length)).searchParams.get("file")).toBe(
      join(secrets, "agent.env"),
    );
    expect(Object.keys(agent.env).filter((name) => /SECRET|KEY/.test(name))).toEqual([]);
  });

  it("runs with the flags and memory settings of the benchmarks", async () => {
    const agent = await appNamed("isha-agent");
    const { args, env } = agentCommand({ ...MEASURED, fleetFile: "/f.ts", box: "north" });
    const flags = agent["node_args"] as readonly string[];
    expect(flags.filter((flag) => !flag.startsWith("--import="))).toEqual(args.slice(0, -1));
    const settings = Object.entries(env).filter(([name]) => name.startsWith("MALLOC_"));
    expect(settings).toHaveLength(3);
    expect(agent.env).toMatchObject(Object.fromEntries(settings));
    expect(agent.env["NODE_COMPILE_CACHE"]).toBe("/srv/isha/node_modules/.cache/agent");
  });

  it("gets the box's name and further settings from its environment", async () => {
    const agent = await appNamed("isha-agent", {
      fleetFile: "/srv/fleet.ts",
      agentEnv: { AGENT_PORT: "8001" },
    });
    expect(agent.env).toMatchObject({ ISHA_BOX: "north", ISHA_FLEET: "/srv/fleet.ts", AGENT_PORT: "8001" });
  });
});

describe("a server", () => {
  it("starts with its port, the box's binary and its flags, once the GPU answers", async () => {
    const server = await appNamed("large");
    expect(server).toMatchObject({
      script: "/srv/isha/origin-agent/llama-log/launch-llama.sh",
      interpreter: "bash",
      exec_mode: "fork",
      kill_timeout: 5_000,
    });
    expect(server.args?.slice(0, 4)).toEqual(["9102", "/opt/llama/llama-server", "--host", "127.0.0.1"]);
    expect(server.env["ISHA_GPU_CHECK"]).toBe("nvidia-smi -L");
  });

  it("reads its key from a file", async () => {
    const { args = [] } = await appNamed("large");
    expect(args[args.indexOf("--api-key-file") + 1]).toBe(join(secrets, "llama-api-key"));
  });

  it("is a simulator on the given port if requested, and the agent's environment contains that", async () => {
    const simulated = {
      command: ["/usr/bin/node", "/srv/sim.ts"] as const,
      ports: new Map([
        [9101, 50_001],
        [9102, 50_002],
        [9103, 50_003],
      ]),
      extra: () => ["--sim-load-ms", "10"],
    };
    const server = await appNamed("large", { simulated });
    expect(server.args?.slice(0, 3)).toEqual(["50002", "/usr/bin/node", "/srv/sim.ts"]);
    expect(server.args?.slice(-2)).toEqual(["--sim-load-ms", "10"]);
    expect(server.args?.[(server.args.indexOf("--port") ?? 0) + 1]).toBe("50002");
    expect(server.env["ISHA_GPU_CHECK"]).toBe("");
    const agent = await appNamed("isha-agent", { simulated });
    expect(JSON.parse(agent.env["UPSTREAM_PORTS"] ?? "")).toEqual({
      9101: 50_001,
      9102: 50_002,
      9103: 50_003,
    });
    expect(agent.env["SIMULATED_PORTS"]).toBe("9101,9102,9103");
  });

  it("may have any characters in its names and flags", async () => {
    const odd = { ...north, llamaServerBin: '/opt/a "b"/it\'s \\ `${x}`/llama-server' };
    const apps = await loaded(ecosystemText(odd, { agentEnv: { ODD: "${process.exit()} \u2028 \"'`" } }));
    expect(apps[1]?.args?.[1]).toBe(odd.llamaServerBin);
    expect(apps[0]?.env["ODD"]).toBe("${process.exit()} \u2028 \"'`");
  });

  it("that the binary can't run makes the generation fail with the reason", () => {
    expect(() => ecosystemText(north, { knownFlags: new Set(["--port"]) })).toThrow("doesn't know --host");
  });
});

describe("the file refuses to be loaded", () => {
  it.each(["agent.env", "llama-api-key"])("if %s is missing or other users can read it", async (name) => {
    const path = join(secrets, name);
    chmodSync(path, 0o644);
    await expect(appsOf()).rejects.toThrow(`chmod 600 ${path}`);
    rmSync(path);
    await expect(appsOf()).rejects.toThrow(`${path} is missing: \`isha secrets init\` creates it`);
    writeFileSync(path, "x", { mode: 0o600 });
  });
});
