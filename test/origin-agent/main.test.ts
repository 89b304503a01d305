// The agent as the program that PM2 starts: its environment, its first line, and how it goes.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { journalFolder } from "../../origin-agent/usage/journal-files.ts";
import { JournalReader } from "../../origin-agent/usage/journal-reader.ts";
import type { UsageCall } from "../../shared/usage.ts";
import { boxInput, fleetInput } from "../shared/support/fleet-input.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask, dataOf, jsonOf, TOKEN, type Json } from "./support/ask.ts";
import { BOX_SECRET, LLAMA_API_KEY, reset, startSimulator, WANTED } from "./support/box.ts";
import { startEdgeDouble } from "./support/edge-double.ts";
import { until } from "../support/until.ts";

const PROGRAM = fileURLToPath(new URL("../../origin-agent/main.ts", import.meta.url));
const SHARED_FLEET = new URL("../../shared/fleet.ts", import.meta.url).href;

let folder: string;
let simulator: SimulatedServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-agent-"));
  simulator = await startSimulator(WANTED);
  const write = (name: string, fleet: object): Promise<void> =>
    writeFile(
      join(folder, name),
      `import { defineFleet } from ${JSON.stringify(SHARED_FLEET)};\nexport default defineFleet(${JSON.stringify(fleet)});\n`,
    );
  await write("one.ts", fleetInput());
  await write("two.ts", { ...fleetInput(), boxes: [boxInput("north"), boxInput("south")] });
});
beforeEach(() => reset(simulator));
afterAll(async () => {
  await simulator.stop();
  await rm(folder, { recursive: true, force: true });
});

interface RunningAgent {
  readonly child: ChildProcess;
  /** Everything it wrote, both streams. */
  output(): string;
  /** The lines of its log. */
  lines(): Json[];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const running: RunningAgent[] = [];
afterEach(async () => {
  for (const { child, exited } of running.splice(0)) {
    child.kill("SIGKILL");
    await exited;
  }
});

function start(environment: Record<string, string> = {}, fleet = "one.ts"): RunningAgent {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROGRAM], {
    env: {
      PATH: process.env["PATH"],
      ISHA_FLEET: join(folder, fleet),
      AGENT_PORT: "0",
      BOX_SECRET,
      LLAMA_API_KEY,
      UPSTREAM_PORTS: JSON.stringify({ [WANTED]: simulator.port }),
      SIMULATED_PORTS: String(WANTED),
      ISHA_STATE: join(folder, "state"),
      PM2_HOME: join(folder, "pm2"),
      NVIDIA_SMI: join(folder, "no-nvidia-smi"),
      EDGE_URL: "off",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const keep = (chunk: Buffer): void => void (output += chunk.toString("utf8"));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  );
  const lines = (): Json[] =>
    output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Json);
  const agent = { child, output: () => output, lines, exited };
  running.push(agent);
  return agent;
}

/** The port an agent says it listens on. */
async function portOf(agent: RunningAgent, answering = true): Promise<number> {
  const said = (): Json | undefined => agent.lines().find((line) => line["event"] === "listening");
  await until(() => said() !== undefined);
  const port = Number(said()?.["port"]);
  // A port is one for calls once its server has been seen.
  if (answering)
    await until(async () =>
      (await (await fetch(`http://127.0.0.1:${port}/healthz`)).text()).includes('"ready"'),
    );
  return port;
}

const failsWith = (attempt: Promise<unknown>, code: string): Promise<boolean> =>
  attempt.then(
    () => false,
    (error: unknown) => error instanceof Error && "code" in error && error.code === code,
  );

const hasSaid = (agent: RunningAgent, event: string): boolean =>
  agent.lines().some((line) => line["event"] === event);

describe("the program", () => {
  it("listens on loopback, says where and as which box, and answers calls", async () => {
    const agent = start();
    const port = await portOf(agent);
    expect(agent.lines().find((line) => line["event"] === "listening")).toMatchObject({
      event: "listening",
      host: "127.0.0.1",
      port,
      box: "north",
    });
    const answer = await answered(port, { call: { format: "mediczy" } });
    expect(jsonOf(answer)["isha"]).toMatchObject({ box: "north", port: WANTED });
    expect(answer.headers["x-isha-simulated"]).toBe("1");
  });

  it("takes the token of the secret before this one while it is being rotated", async () => {
    const agent = start({ BOX_SECRET: "another-secret-of-the-tests", BOX_SECRET_PREVIOUS: BOX_SECRET });
    expect((await answered(await portOf(agent))).status).toBe(200);
  });

  it("refuses to start on a wrong environment, and says all that is wrong and no value", async () => {
    const agent = start({ BOX_SECRET: "too-short-value", LOG_LEVEL: "loud-value" });
    expect(await agent.exited).toMatchObject({ code: 1 });
    expect(agent.output()).toContain("BOX_SECRET");
    expect(agent.output()).toContain("LOG_LEVEL");
    expect(agent.output()).not.toMatch(/too-short-value|loud-value/);
  });

  it("asks which box it is where the fleet file has two, and takes the one it is told", async () => {
    const lost = start({}, "two.ts");
    expect(await lost.exited).toMatchObject({ code: 1 });
    expect(lost.output()).toContain("ISHA_BOX must name this machine's box in the fleet file (north, south)");
    const south = start({ ISHA_BOX: "south" }, "two.ts");
    await portOf(south, false);
    expect(south.lines()[0]).toMatchObject({ box: "south" });
  });

  it("refuses a box that the fleet file doesn't have", async () => {
    const agent = start({ ISHA_BOX: "west" });
    expect(await agent.exited).toMatchObject({ code: 1 });
    expect(agent.output()).toContain('"west" isn\'t one');
  });

  it("books each call in its journal, its start and how it ended, and nothing of its words", async () => {
    const state = await mkdtemp(join(folder, "state-"));
    const agent = start({ ISHA_STATE: state });
    const port = await portOf(agent);
    const body = { messages: [{ role: "user", content: "Marker-Of-The-Prompt" }] };
    const whole = jsonOf(await answered(port, { call: { requestId: "req-a" }, body }));
    await answered(port, { call: { requestId: "req-b", stream: true, format: "mediczy" }, body });
    await answered(port, { call: { requestId: "req-c" }, body: { ...body, n: 9 } });
    const files = journalFolder(join(state, "journal"));
    const booked = async (): Promise<UsageCall[]> => {
      const [segment] = await files.list();
      if (segment === undefined) return [];
      const reader = new JournalReader(segment.epoch, files);
      reader.add(segment);
      return reader.next(10);
    };
    await until(async () => (await booked()).length === 3);
    const calls = await booked();
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = whole["usage"] as Record<
      string,
      number
    >;
    expect(calls[0]).toMatchObject({
      callId: "req-a",
      keyId: "key-1",
      agentType: "Radiology",
      model: "Heron-3B",
      port: WANTED,
      outcome: "complete",
      promptTokens,
      completionTokens,
      cachedTokens: 0,
      choices: 1,
      estimated: false,
    });
    expect(calls[1]).toMatchObject({ callId: "req-b", outcome: "complete", promptTokens, completionTokens });
    expect(calls[2]).toMatchObject({ callId: "req-c", outcome: "refused", promptTokens: null });
    const [segment] = await files.list();
    const bytes = segment === undefined ? Buffer.alloc(0) : await files.read(segment, 0, 100_000);
    expect(bytes.toString("latin1")).not.toMatch(/marker|simulated/i);
  });

  it("tells who has the edge's token what the box is like, and nobody else", async () => {
    const url = `http://127.0.0.1:${await portOf(start())}/fleet`;
    expect((await fetch(url)).status).toBe(403);
    const response = await fetch(url, { headers: { "x-isha-token": TOKEN } });
    expect(await response.json()).toMatchObject({
      box: "north",
      linked: false,
      draining: false,
      servers: [{ port: WANTED, state: "ready", busy: 0, waiting: 0, waitMs: 0 }, {}, {}],
      gpus: null,
      journal: { state: "ok", behindMs: null },
    });
  });

  it("links to its edge, tells it each call, and says bye when it goes", async () => {
    const edge = await startEdgeDouble();
    const agent = start({ EDGE_URL: edge.url, ISHA_STATE: await mkdtemp(join(folder, "state-")) });
    const port = await portOf(agent);
    const [hello] = await edge.told("hello");
    expect(hello).toMatchObject({ box: "north", servers: [{ port: WANTED, model: "Heron-3B" }, {}, {}] });
    expect((await answered(port, { call: { requestId: "req-linked" } })).status).toBe(200);
    await until(() => [...edge.booked.values()].some(({ callId }) => callId === "req-linked"));
    edge.say({ t: "drain" });
    await until(async () => (await answered(port)).status === 503);
    edge.say({ t: "resume" });
    await until(async () => (await answered(port)).status === 200);
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    await edge.told("bye");
    expect(edge.faults).toEqual([]);
    expect([...edge.booked.values()].every(({ outcome }) => outcome === "complete")).toBe(true);
    await edge.close();
  });

  it("writes no word of a prompt, an answer or a secret, on either of its streams", async () => {
    const agent = start({ LOG_LEVEL: "debug" });
    const port = await portOf(agent);
    const body = { messages: [{ role: "user", content: "Marker-Of-The-Prompt" }] };
    await answered(port, { call: { stream: true }, body });
    await simulator.set({ fault: "echo500" });
    await answered(port, { body });
    agent.child.kill("SIGTERM");
    await agent.exited;
    expect(agent.lines().filter((line) => line["event"] === "call")).toHaveLength(2);
    expect(agent.output()).not.toMatch(/marker|simulated|asked about/i);
    for (const secret of [BOX_SECRET, LLAMA_API_KEY]) expect(agent.output()).not.toContain(secret);
  });
});

describe.each(["SIGTERM", "SIGINT"] as const)("on %s the program", (signal) => {
  it("takes no more, finishes the stream that runs, and ends with 0", async () => {
    const agent = start();
    const port = await portOf(agent);
    await simulator.set({ stallAfterTokens: 5 });
    const asked = ask(port, { call: { stream: true, format: "mediczy" } });
    await asked.came(/"content":"[^"]/);
    agent.child.kill(signal);
    await until(() => hasSaid(agent, "draining"));
    // The line is out a moment before the socket is closed: who comes just then meets a reset.
    await until(() => failsWith(answered(port), "ECONNREFUSED"));
    await simulator.set({ stallAfterTokens: null });

    const answer = await asked.answer;
    expect(answer.whole).toBe(true);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    expect(hasSaid(agent, "stopped")).toBe(true);
  });

  it("ends at once where nothing runs, a connection that is kept or not", async () => {
    const agent = start();
    const port = await portOf(agent);
    const kept = new Agent({ keepAlive: true });
    await answered(port, { agent: kept });
    agent.child.kill(signal);
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    kept.destroy();
  });
});

describe("a program that was told to go", () => {
  it("goes once its last call is answered, though cloudflared keeps that call's connection", async () => {
    const agent = start();
    const port = await portOf(agent);
    const kept = new Agent({ keepAlive: true });
    await simulator.set({ stallAfterTokens: 5 });
    const asked = ask(port, { call: { stream: true }, agent: kept });
    await asked.came(/"content":"[^"]/);
    agent.child.kill("SIGTERM");
    await until(() => hasSaid(agent, "draining"));
    await simulator.set({ stallAfterTokens: null });
    expect((await asked.answer).whole).toBe(true);
    // Far less than the time for which idle connections are kept.
    await until(() => agent.child.exitCode === 0);
    kept.destroy();
  });
});

describe("a second signal", () => {
  it("doesn't wait for what runs", async () => {
    const agent = start();
    const port = await portOf(agent);
    await simulator.set({ stall: true });
    const asked = ask(port, { call: { stream: true } });
    // The agent's own call of one token may run beside it.
    await simulator.until(
      ({ generating, requestsByRoute }) => generating > 0 && requestsByRoute["/v1/chat/completions"] === 1,
    );
    agent.child.kill("SIGTERM");
    await until(() => hasSaid(agent, "draining"));
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toEqual({ code: 1, signal: null });
    await expect(asked.answer).rejects.toThrow();
    await simulator.until((state) => state.generating === 0);
  });
});
