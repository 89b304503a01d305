// The parts of the local stack that need no stack: ports, command lines, generated files.
// The stack itself is what every end-to-end test starts.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import { agentCommand, edgeCommand, simulatorCommand } from "../../../scripts/stack/commands.ts";
import {
  configText,
  entryText,
  envFileText,
  OPTIONAL_SECRETS,
  sortVariables,
  undeclared,
} from "../../../scripts/stack/edge-files.ts";
import { firstFree, freePort, isFree, withPort } from "../../../scripts/stack/ports.ts";
import { isLlamaHealth } from "../../../scripts/stack/real-servers.ts";
import { until } from "../../support/until.ts";

describe("ports", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function listen(host: string): Promise<number> {
    const listening = createServer();
    server = listening;
    await new Promise<void>((resolve) => void listening.listen(0, host, resolve));
    const address = listening.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  it.each(["127.0.0.1", "0.0.0.0"])("one on which a program listens at %s is busy", async (host) => {
    const port = await listen(host);
    expect(await isFree(port)).toBe(false);
    server?.close();
    await until(() => isFree(port));
  });

  it("a free one is given out once, and below those that outgoing connections get", async () => {
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    expect(new Set(ports).size).toBe(3);
    expect(Math.max(...ports)).toBeLessThan(32_768);
    // Another program may take it in between.
    await until(async () => isFree(await freePort()));
  });

  it("two processes never get the same one, however many they take", async () => {
    const program = `
      import { freePort } from ${JSON.stringify(fileURLToPath(new URL("../../../scripts/stack/ports.ts", import.meta.url)))};
      const ports = [];
      for (let taken = 0; taken < 150; taken += 1) ports.push(await freePort());
      console.log(JSON.stringify(ports));
      process.stdin.resume();`;
    const children = [1, 2, 3].map(() =>
      spawn("node", ["--input-type=module", "-e", program], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    const lists = await Promise.all(
      children.map(async ({ stdout }) => {
        const [line] = await once(createInterface({ input: stdout }), "line");
        return JSON.parse(String(line)) as number[];
      }),
    );
    for (const child of children) child.stdin.end();
    const ports = lists.flat();
    expect(new Set(ports).size).toBe(450);
    expect(Math.max(...ports)).toBeLessThan(32_768);
  });

  it("the next free one is taken if the usual one is busy", async () => {
    expect(await firstFree(8787, (port) => port > 8789)).toBe(8790);
    await expect(firstFree(65_000, () => false)).rejects.toThrow("no free port from 65000 on");
  });

  it("one that is lost between the look and the start is followed by the next", async () => {
    const tried: number[] = [];
    const launch = async (port: number): Promise<string> => {
      tried.push(port);
      if (port < 8002) throw new Error("EADDRINUSE");
      return "up";
    };
    expect(
      await withPort(
        { from: 8000 },
        launch,
        () => true,
        () => true,
      ),
    ).toBe("up");
    expect(tried).toEqual([8000, 8001, 8002]);
  });

  it("a fixed one is not swapped for another, nor is any other failure tried again", async () => {
    const launch = async (): Promise<never> => {
      throw new Error("no");
    };
    await expect(withPort(8000, launch, () => true)).rejects.toThrow("no");
    await expect(
      withPort(
        { from: 8000 },
        launch,
        () => false,
        () => true,
      ),
    ).rejects.toThrow("no");
  });
});

describe("command lines", () => {
  const server = fleet.boxes[0]?.servers[1];
  if (server === undefined) throw new Error("the fleet file has a second server");

  it("a simulator gets the context of all its slots together, and its pace", () => {
    const pace = { loadMs: 5, tokensPerSecond: 100, switches: { stall: true } };
    const { args } = simulatorCommand({ server, keyFile: "/k", port: 0, controlPort: 0, pace });
    const line = args.slice(1).join(" ");
    expect(line).toContain(
      `--alias ${server.file} -c ${server.slots * server.contextPerSlot} --parallel ${server.slots}`,
    );
    expect(line).toContain(
      "--metrics --slots --no-cache-prompt --cache-ram 0 --api-key-file /k --sim-control-port 0",
    );
    expect(line).toContain('--sim-load-ms 5 --sim-tokens-per-second 100 --sim-switches {"stall":true}');
    expect(line).not.toContain("--embeddings");
  });

  it("a server that the fleet file says can embed is simulated as one that can", () => {
    const embedding = { ...server, capabilities: ["embeddings" as const] };
    const { args } = simulatorCommand({
      server: embedding,
      keyFile: "/k",
      port: 0,
      controlPort: 0,
      pace: {},
    });
    expect(args).toContain("--embeddings");
  });

  it("an agent gets its servers' real ports and which are simulated, and nothing of the user's environment", () => {
    process.env["SOME_TOKEN"] = "private";
    const { env } = agentCommand({
      fleetFile: "/f.ts",
      box: "box1",
      port: 0,
      boxSecret: "s",
      llamaApiKey: "l",
      upstreamPorts: { "8080": 41_000 },
      simulatedPorts: [8080, 8081],
      edgeUrl: "http://127.0.0.1:8787",
      stateFolder: "/state",
      further: { LOG_LEVEL: "warn" },
    });
    delete process.env["SOME_TOKEN"];
    expect(env).toMatchObject({ ISHA_FLEET: "/f.ts", ISHA_BOX: "box1", AGENT_PORT: "0", LOG_LEVEL: "warn" });
    expect(env).toMatchObject({ UPSTREAM_PORTS: '{"8080":41000}', SIMULATED_PORTS: "8080,8081" });
    expect(env).toMatchObject({ EDGE_URL: "http://127.0.0.1:8787" });
    expect(env).toMatchObject({ ISHA_STATE: "/state/agent-box1", PM2_HOME: "/state/pm2" });
    expect(env).not.toHaveProperty("SOME_TOKEN");
  });

  it("the edge keeps its files in its own folder and sees the host that was asked for", () => {
    const options = { folder: "/t", config: "/c.toml", entry: null, port: 8787, envFile: "/e" };
    const { args, env } = edgeCommand(options);
    expect(args.slice(1).join(" ")).toMatch(
      /^dev --config \/c\.toml --env-file \/e --ip 127\.0\.0\.1 --port 8787 /,
    );
    expect(args).toContain("--infer-origin-from-routes=false");
    expect(env["WRANGLER_REGISTRY_PATH"]).toBe("/t/registry");
    expect(edgeCommand({ ...options, entry: "/w.ts" }).args.slice(1, 3)).toEqual(["dev", "/w.ts"]);
    expect(args).not.toContain("--var");
    const vars = { ALERT_WEBHOOK_URL: "http://127.0.0.1:1/x" };
    expect(edgeCommand({ ...options, vars }).args.join(" ")).toContain(
      "--var ALERT_WEBHOOK_URL:http://127.0.0.1:1/x",
    );
  });
});

describe("an edge for another fleet file", () => {
  const files = {
    entryFile: "/r/worker/index.ts",
    shippedFleet: "/r/fleet.config.ts",
    fleetFile: "/x/other fleet.ts",
  };

  it("has the shipped entry with that fleet put in", () => {
    const shipped = [
      'import fleet from "../fleet.config.ts";',
      'import { createWorker } from "./app.ts";',
      'import "./side.ts";',
      'import { z } from "zod";',
      'export { ApiKey } from "./objects/api-key.ts";',
      "export default createWorker(fleet);",
    ].join("\n");
    expect(entryText(shipped, files)).toBe(
      [
        'import fleet from "/x/other fleet.ts";',
        'import { createWorker } from "/r/worker/app.ts";',
        'import "/r/worker/side.ts";',
        'import { z } from "zod";',
        'export { ApiKey } from "/r/worker/objects/api-key.ts";',
        "export default createWorker(fleet);",
      ].join("\n"),
    );
  });

  it("fails loudly if the shipped entry imports no fleet", () => {
    expect(() => entryText('import "./app.ts";', files)).toThrow("no other fleet can be put in");
  });

  it("has the shipped configuration with its paths made absolute, and nothing else changed", () => {
    const shipped = [
      'name = "edge"',
      'main = "worker/index.ts"',
      'routes = [{ pattern = "main.example.org" }]',
      "[assets]",
      'directory = "./dist/pages"',
      'binding = "ASSETS"',
    ].join("\n");
    expect(configText(shipped, { root: "/r", main: "/t/index.ts" })).toBe(
      shipped.replace("worker/index.ts", "/t/index.ts").replace("./dist/pages", "/r/dist/pages"),
    );
    expect(configText(shipped, { root: "/r", main: "/t/index.ts", assets: "/t/assets" })).toContain(
      'directory = "/t/assets"',
    );
    expect(configText('assets = { directory = "./dist" }', { root: "/r", main: "/m" })).toBe(
      'assets = { directory = "/r/dist" }',
    );
  });
});

describe("the Worker's variables", () => {
  it("stay as they are, JSON included", () => {
    expect(envFileText({ A: "1", B: '{"box1":"http://127.0.0.1:1"}', C: "it's #1", D: "" })).toBe(
      "A='1'\nB='{\"box1\":\"http://127.0.0.1:1\"}'\nC=`it's #1`\nD=''\n",
    );
    expect(() => envFileText({ A: "two\nlines" })).toThrow("variable A");
  });

  it("are refused if wrangler.toml doesn't declare them, because wrangler would drop them silently", () => {
    expect(undeclared('[vars]\nA = ""\n[secrets]\nrequired = ["B"]', ["A", "B", "C"])).toEqual(["C"]);
  });

  it("that a deployment may lack aren't declared, which would make a deploy fail or overwrite the deployed one", () => {
    const config = readFileSync(new URL("../../../wrangler.toml", import.meta.url), "utf8");
    expect(undeclared(config, OPTIONAL_SECRETS)).toEqual(OPTIONAL_SECRETS);
    expect(sortVariables(config, { DEV_KEYS: "1", ALERT_WEBHOOK_URL: "http://x" })).toEqual({
      declared: { DEV_KEYS: "1" },
      vars: { ALERT_WEBHOOK_URL: "http://x" },
    });
    expect(() => sortVariables(config, { ALERT_WEBHOOK: "http://x" })).toThrow("declares no ALERT_WEBHOOK,");
  });
});

describe("real llama-servers", () => {
  it("are distinguished from other programs by their health answer, even while loading", () => {
    expect(isLlamaHealth({ status: 200, json: { status: "ok" } })).toBe(true);
    expect(isLlamaHealth({ status: 503, json: { error: { message: "Loading model" } } })).toBe(true);
    expect(isLlamaHealth({ status: 200, json: { ok: true } })).toBe(false);
    expect(isLlamaHealth({ status: 404, json: { error: "x" } })).toBe(false);
    expect(isLlamaHealth({ status: 200, json: null })).toBe(false);
  });
});
