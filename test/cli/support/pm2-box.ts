// A box that PM2 runs from a generated file: simulators with a real llama-server's log output, an agent, and a PM2
// daemon with its own folder.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ecosystemText } from "../../../cli/generate/ecosystem.ts";
import secondFleet from "../../fixtures/second-fleet.ts";
import { FAILURES, PLAIN_DAY } from "../../origin-agent/support/llama-log.ts";
import { reservePorts } from "./reserved-ports.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIMULATOR = join(ROOT, "test/sim/llama-server.ts");
const FLEET_FILE = join(ROOT, "test/fixtures/second-fleet.ts");

/** PM2's program: the project's, or the one that `ISHA_TEST_PM2` names; undefined if there is none. */
export const PM2 = [process.env["ISHA_TEST_PM2"], join(ROOT, "node_modules/pm2/bin/pm2")].find(
  (path) => path !== undefined && existsSync(path),
);

export interface Pm2App {
  readonly name: string;
  readonly pid: number;
  readonly status: string;
  readonly restarts: number;
}

export interface Pm2Box {
  readonly box: string;
  readonly agentUrl: string;
  readonly boxSecret: string;
  readonly llamaApiKey: string;
  /** A server's address, by its port in the fleet file. */
  url(port: number): string;
  pm2(...args: string[]): Promise<string>;
  apps(): Promise<Pm2App[]>;
  app(name: string): Promise<Pm2App>;
  /** Stops everything and removes the folder. */
  stop(): Promise<void>;
}

const run = promisify(execFile);

/** @param shell environment of the shell that starts PM2 */
export async function startPm2Box(shell: Readonly<Record<string, string>> = {}): Promise<Pm2Box> {
  const [box] = secondFleet.boxes;
  if (PM2 === undefined || box === undefined) throw new Error("there is no PM2 here");
  const program = PM2;
  const folder = mkdtempSync(join(tmpdir(), "isha-pm2-"));
  const boxSecret = "a-box-secret-of-the-tests";
  const llamaApiKey = "a-llama-key-of-the-tests";
  const secret = (name: string, text: string): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  secret("agent.env", `BOX_SECRET=${boxSecret}\nLLAMA_API_KEY=${llamaApiKey}\n`);
  secret("llama-api-key", `${llamaApiKey}\n`);
  writeFileSync(join(folder, "log"), `${PLAIN_DAY}${FAILURES.join("\n")}\n`);
  const server = join(folder, "llama-server");
  const lines = [
    "#!/usr/bin/env bash",
    `cat '${folder}/log' >&2`,
    `exec '${process.execPath}' '${SIMULATOR}' "$@"`,
  ];
  writeFileSync(server, `${lines.join("\n")}\n`, { mode: 0o755 });

  const reserved = await reservePorts(1 + box.servers.length);
  const [agentPort = 0, ...ports] = reserved.ports;
  const serverPorts = new Map(box.servers.map(({ port }, at) => [port, ports[at] ?? 0]));
  const text = ecosystemText(box, {
    root: ROOT,
    fleetFile: FLEET_FILE,
    agentEnv: { AGENT_PORT: String(agentPort), EDGE_URL: "off" },
    simulated: { command: [server], ports: serverPorts, extra: () => ["--sim-load-ms", "300"] },
  });
  const file = join(folder, "ecosystem.config.cjs");
  writeFileSync(file, text);

  const environment = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    PM2_HOME: join(folder, "pm2"),
    ISHA_SECRETS: folder,
    // Otherwise PM2 would look for a newer version on the internet.
    PM2_DISABLE_VERSION_CHECK: "true",
    ...shell,
  };
  const pm2 = async (...args: string[]): Promise<string> => {
    const { stdout } = await run(process.execPath, [program, "--silent", ...args], { env: environment });
    return stdout;
  };
  const apps = async (): Promise<Pm2App[]> => {
    const { stdout } = await run(process.execPath, [program, "jlist"], { env: environment });
    // Only these fields are read: the listing contains environments.
    const listed = JSON.parse(stdout.slice(stdout.indexOf("["))) as {
      name: string;
      pid: number;
      pm2_env: { status: string; restart_time: number };
    }[];
    return listed.map(({ name, pid, pm2_env }) => ({
      name,
      pid,
      status: pm2_env.status,
      restarts: pm2_env.restart_time,
    }));
  };
  const pm2Box: Pm2Box = {
    box: box.name,
    agentUrl: `http://127.0.0.1:${agentPort}`,
    boxSecret,
    llamaApiKey,
    url: (port) => `http://127.0.0.1:${serverPorts.get(port)}`,
    async pm2(...args) {
      if (args[0] === "logs" || args[0] === "jlist") {
        return (await run(process.execPath, [program, ...args], { env: environment })).stdout;
      }
      return pm2(...args);
    },
    apps,
    async app(name) {
      const found = (await apps()).find((each) => each.name === name);
      if (found === undefined) throw new Error(`PM2 runs no ${name}`);
      return found;
    },
    async stop() {
      await pm2("kill");
      await reserved.release();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await pm2("start", file);
  } catch (error) {
    await pm2Box.stop();
    throw error;
  }
  return pm2Box;
}
