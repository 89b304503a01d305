// Starts the agent as the program that PM2 starts, several of them with folders of their own, and reads their log lines.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { boxInput, fleetInput } from "../../shared/support/fleet-input.ts";
import { until } from "../../support/until.ts";
import type { Json } from "./ask.ts";
import { BOX_SECRET, LLAMA_API_KEY, OTHER, REPLICA, WANTED } from "./box.ts";

const PROGRAM = fileURLToPath(new URL("../../../origin-agent/main.ts", import.meta.url));
const SHARED_FLEET = new URL("../../../shared/fleet.ts", import.meta.url).href;

export interface RunningAgent {
  readonly child: ChildProcess;
  /** Its own folder, so that the agents don't detect each other as one box. */
  readonly state: string;
  /** Everything written to stdout and stderr. */
  output(): string;
  /** Its log lines. */
  lines(): Json[];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** As by kill -9. */
  kill(): Promise<void>;
}

export interface AgentPrograms {
  readonly folder: string;
  /** @param fleet `one.ts` has one box, `two.ts` two */
  start(environment?: Readonly<Record<string, string>>, fleet?: string): RunningAgent;
  /** Kills all of them and removes their folders. */
  end(): Promise<void>;
}

/** @param serverPort where the box's first server listens; the others listen nowhere */
export async function agentPrograms(serverPort: number): Promise<AgentPrograms> {
  const folder = await mkdtemp(join(tmpdir(), "isha-agent-"));
  const write = (name: string, fleet: object): Promise<void> =>
    writeFile(
      join(folder, name),
      `import { defineFleet } from ${JSON.stringify(SHARED_FLEET)};\nexport default defineFleet(${JSON.stringify(fleet)});\n`,
    );
  await write("one.ts", fleetInput());
  await write("two.ts", { ...fleetInput(), boxes: [boxInput("north"), boxInput("south")] });
  const started: RunningAgent[] = [];
  return {
    folder,
    start: (environment = {}, fleet = "one.ts") => {
      const agent = startProgram({
        PATH: process.env["PATH"] ?? "",
        ISHA_FLEET: join(folder, fleet),
        AGENT_PORT: "0",
        BOX_SECRET,
        LLAMA_API_KEY,
        // Nothing listens on port 1, so the other two servers are down whatever else runs on this machine.
        UPSTREAM_PORTS: JSON.stringify({ [WANTED]: serverPort, [REPLICA]: 1, [OTHER]: 1 }),
        SIMULATED_PORTS: String(WANTED),
        ISHA_STATE: join(folder, `state-${started.length}`),
        PM2_HOME: join(folder, "pm2"),
        NVIDIA_SMI: join(folder, "no-nvidia-smi"),
        EDGE_URL: "off",
        ...environment,
      });
      started.push(agent);
      return agent;
    },
    end: async () => {
      for (const agent of started) await agent.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function startProgram(env: Readonly<Record<string, string>>): RunningAgent {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROGRAM], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => void (written.stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => void (written.stderr += chunk));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  );
  return {
    child,
    state: env["ISHA_STATE"] ?? "",
    output: () => written.stdout + written.stderr,
    lines: () =>
      written.stdout
        .split("\n")
        // The last element is incomplete or empty.
        .slice(0, -1)
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Json),
    exited,
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

export const lineOf = (agent: RunningAgent, event: string): Json | undefined =>
  agent.lines().find((line) => line["event"] === event);

/** The port on which an agent listens, from its log. */
export const portOf = async (agent: RunningAgent): Promise<number> =>
  Number((await until(() => lineOf(agent, "listening")))["port"]);

/** The same, once the agent reports its server as ready: a slow probe may have failed at first. */
export async function readyPortOf(agent: RunningAgent): Promise<number> {
  const port = await portOf(agent);
  await until(async () => {
    const health = await (await fetch(`http://127.0.0.1:${port}/healthz`)).json();
    return (health as { servers: { state: string }[] }).servers[0]?.state === "ready";
  });
  return port;
}
