// The agent as the program that PM2 starts: its environment, its first line, and how it goes. All programs of the file
// start at once; each test uses the one that is meant for it.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { journalFolder } from "../../origin-agent/journal-files.ts";
import { JournalReader } from "../../origin-agent/journal-reader.ts";
import { AGENT_KEEP_ALIVE_MS } from "../../shared/limits.ts";
import type { UsageCall } from "../../shared/usage.ts";
import { boxInput, fleetInput } from "../shared/fleet-input.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask, dataOf, errorOf, jsonOf, TOKEN, type Json } from "./ask.ts";
import { BOX_SECRET, LLAMA_API_KEY, OTHER, REPLICA, reset, startSimulator, WANTED } from "./box.ts";
import { startEdgeDouble, type EdgeDouble } from "./edge-double.ts";
import { until } from "../support/until.ts";

const PROGRAM = fileURLToPath(new URL("../../origin-agent/main.ts", import.meta.url));
const SHARED_FLEET = new URL("../../shared/fleet.ts", import.meta.url).href;
const NEW_SECRET = "another-secret-of-the-tests";

interface RunningAgent {
  readonly child: ChildProcess;
  /** Its own, so that no agent takes another for one of its box. */
  readonly state: string;
  /** Everything it wrote, both streams. */
  output(): string;
  /** The lines of its log. */
  lines(): Json[];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

let folder: string;
let simulator: SimulatedServer;
let edge: EdgeDouble;
/** One that is linked to its edge while its secret is being rotated. */
let linked: RunningAgent;
let wrong: RunningAgent;
let lost: RunningAgent;
let south: RunningAgent;
let west: RunningAgent;
let idle: Readonly<Record<"SIGTERM" | "SIGINT", RunningAgent>>;
let busy: Readonly<Record<"SIGTERM" | "SIGINT", RunningAgent>>;
let hurried: RunningAgent;
const started: RunningAgent[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-agent-"));
  const write = (name: string, fleet: object): Promise<void> =>
    writeFile(
      join(folder, name),
      `import { defineFleet } from ${JSON.stringify(SHARED_FLEET)};\nexport default defineFleet(${JSON.stringify(fleet)});\n`,
    );
  await write("one.ts", fleetInput());
  await write("two.ts", { ...fleetInput(), boxes: [boxInput("north"), boxInput("south")] });
  [simulator, edge] = await Promise.all([startSimulator(WANTED), startEdgeDouble()]);
  linked = start({
    EDGE_URL: edge.url,
    LOG_LEVEL: "debug",
    BOX_SECRET: NEW_SECRET,
    BOX_SECRET_PREVIOUS: BOX_SECRET,
  });
  wrong = start({ BOX_SECRET: "too-short-value", LOG_LEVEL: "loud-value" });
  lost = start({}, "two.ts");
  south = start({ ISHA_BOX: "south" }, "two.ts");
  west = start({ ISHA_BOX: "west" });
  idle = { SIGTERM: start(), SIGINT: start() };
  busy = { SIGTERM: start(), SIGINT: start() };
  hurried = start();
});
beforeEach(() => reset(simulator));
afterAll(async () => {
  for (const { child, exited } of started) {
    child.kill("SIGKILL");
    await exited;
  }
  await edge.close();
  await simulator.stop();
  await rm(folder, { recursive: true, force: true });
});

function start(environment: Record<string, string> = {}, fleet = "one.ts"): RunningAgent {
  const state = join(folder, `state-${started.length}`);
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROGRAM], {
    env: {
      PATH: process.env["PATH"],
      ISHA_FLEET: join(folder, fleet),
      AGENT_PORT: "0",
      BOX_SECRET,
      LLAMA_API_KEY,
      // Port 1 is nobody's: whatever else runs on this machine, the other two servers are down.
      UPSTREAM_PORTS: JSON.stringify({ [WANTED]: simulator.port, [REPLICA]: 1, [OTHER]: 1 }),
      SIMULATED_PORTS: String(WANTED),
      ISHA_STATE: state,
      PM2_HOME: join(folder, "pm2"),
      NVIDIA_SMI: join(folder, "no-nvidia-smi"),
      EDGE_URL: "off",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => void (written.stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => void (written.stderr += chunk));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  );
  const lines = (): Json[] =>
    written.stdout
      .split("\n")
      // The last one has no line break yet, or is empty.
      .slice(0, -1)
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Json);
  const agent = { child, state, output: () => written.stdout + written.stderr, lines, exited };
  started.push(agent);
  return agent;
}

const lineOf = (agent: RunningAgent, event: string): Json | undefined =>
  agent.lines().find((line) => line["event"] === event);

/** The port an agent says it listens on. */
const portOf = async (agent: RunningAgent): Promise<number> =>
  Number((await until(() => lineOf(agent, "listening")))["port"]);

/** The same, once the agent knows that its server is well: a probe that waited too long may have said otherwise. */
async function readyPortOf(agent: RunningAgent): Promise<number> {
  const port = await portOf(agent);
  await until(async () => {
    const health = await (await fetch(`http://127.0.0.1:${port}/healthz`)).json();
    return (health as { servers: { state: string }[] }).servers[0]?.state === "ready";
  });
  return port;
}

const failsWith = (attempt: Promise<unknown>, code: string): Promise<boolean> =>
  attempt.then(
    () => false,
    (error: unknown) => error instanceof Error && "code" in error && error.code === code,
  );

const PROMPT = { messages: [{ role: "user", content: "Marker-Of-The-Prompt" }] };

describe("the program", () => {
  it("listens on loopback, says where and as which box, and answers calls", async () => {
    const port = await readyPortOf(linked);
    expect(lineOf(linked, "listening")).toMatchObject({
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
    expect((await answered(await readyPortOf(linked))).status).toBe(200);
    const others = { "x-isha-token": TOKEN.replaceAll(/./g, "0") };
    expect((await answered(await readyPortOf(linked), { headers: others })).status).toBe(403);
  });

  it("refuses to start on a wrong environment, and says all that is wrong and no value", async () => {
    expect(await wrong.exited).toMatchObject({ code: 1 });
    expect(wrong.output()).toContain("BOX_SECRET");
    expect(wrong.output()).toContain("LOG_LEVEL");
    expect(wrong.output()).not.toMatch(/too-short-value|loud-value/);
  });

  it("asks which box it is where the fleet file has two, and takes the one it is given", async () => {
    expect(await lost.exited).toMatchObject({ code: 1 });
    expect(lost.output()).toContain("ISHA_BOX must name this machine's box in the fleet file (north, south)");
    await portOf(south);
    expect(south.lines()[0]).toMatchObject({ box: "south" });
  });

  it("refuses a box that the fleet file doesn't have", async () => {
    expect(await west.exited).toMatchObject({ code: 1 });
    expect(west.output()).toContain('"west" isn\'t one');
  });

  it("books each call in its journal, its start and how it ended, and nothing of its words", async () => {
    // One without an edge: calls that an edge has acknowledged are not read again.
    const port = await readyPortOf(hurried);
    const whole = jsonOf(await answered(port, { call: { requestId: "req-a" }, body: PROMPT }));
    await answered(port, { call: { requestId: "req-b", stream: true, format: "mediczy" }, body: PROMPT });
    await answered(port, { call: { requestId: "req-c" }, body: { ...PROMPT, n: 9 } });
    const files = journalFolder(join(hurried.state, "journal"));
    const [segment] = await until(async () => {
      const segments = await files.list();
      return segments.length > 0 && segments;
    });
    if (segment === undefined) throw new Error("a list that isn't empty has a first");
    const bookedAs = async (callId: string): Promise<UsageCall> =>
      until(async () => {
        const reader = new JournalReader(segment.epoch, files);
        reader.add(segment);
        return (await reader.next(100)).find((call) => call.callId === callId);
      });
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = whole["usage"] as Record<
      string,
      number
    >;
    expect(await bookedAs("req-a")).toMatchObject({
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
    expect(await bookedAs("req-b")).toMatchObject({ outcome: "complete", promptTokens, completionTokens });
    expect(await bookedAs("req-c")).toMatchObject({ outcome: "refused", promptTokens: null });
    const bytes = await files.read(segment, 0, 100_000);
    expect(bytes.toString("latin1")).toContain("req-a");
    expect(bytes.toString("latin1")).not.toMatch(/marker|simulated/i);
  });

  it("says what the box is like if asked with the edge's token, and not otherwise", async () => {
    const url = `http://127.0.0.1:${await readyPortOf(idle.SIGTERM)}/fleet`;
    expect((await fetch(url)).status).toBe(403);
    const fleet = await until(async () => {
      const response = await fetch(url, { headers: { "x-isha-token": TOKEN } });
      const answer = (await response.json()) as { servers: { state: string; busy: number }[] };
      const [first] = answer.servers;
      // A call of the agent's own, or of another agent of these tests, may be there for a moment.
      return first?.state === "ready" && first.busy === 0 && answer;
    });
    expect(fleet).toMatchObject({
      box: "north",
      linked: false,
      draining: false,
      servers: [{ port: WANTED, state: "ready", busy: 0, waiting: 0, waitMs: 0 }, {}, {}],
      gpus: null,
      journal: { state: "ok", behindMs: null },
    });
  });

  it("links to its edge, reports each call to it, and takes its orders", async () => {
    const port = await readyPortOf(linked);
    const [hello] = await edge.told("hello");
    expect(hello).toMatchObject({ box: "north", servers: [{ port: WANTED, model: "Heron-3B" }, {}, {}] });
    expect((await answered(port, { call: { requestId: "req-linked" } })).status).toBe(200);
    const booked = await until(() => [...edge.booked.values()].find(({ callId }) => callId === "req-linked"));
    expect(booked.outcome).toBe("complete");
    edge.say({ t: "drain" });
    await until(async () => {
      const answer = await answered(port);
      return answer.status === 503 && errorOf(answer).code === "draining";
    });
    edge.say({ t: "resume" });
    await until(async () => (await answered(port)).status === 200);
    expect(edge.faults).toEqual([]);
  });

  it("says bye to its edge when it goes, and wrote no word of a prompt, an answer or a secret on either stream", async () => {
    await answered(await readyPortOf(linked), { call: { requestId: "req-y", stream: true }, body: PROMPT });
    await simulator.set({ fault: "echo500" });
    await answered(await readyPortOf(linked), { call: { requestId: "req-z" }, body: PROMPT });
    linked.child.kill("SIGTERM");
    expect(await linked.exited).toEqual({ code: 0, signal: null });
    await edge.told("bye");
    expect(edge.faults).toEqual([]);
    const logged = linked.lines().filter((line) => line["event"] === "call");
    expect(logged.map((line) => line["request_id"])).toEqual(expect.arrayContaining(["req-y", "req-z"]));
    expect(linked.output()).not.toMatch(/marker|simulated|asked about/i);
    for (const secret of [BOX_SECRET, NEW_SECRET, LLAMA_API_KEY])
      expect(linked.output()).not.toContain(secret);
  });
});

/** By the program's own log: connections without a request would have held it for as long as they are kept. */
function leftBeforeKeptConnectionsEnd(agent: RunningAgent): boolean {
  const [draining, stopped] = [lineOf(agent, "draining"), lineOf(agent, "stopped")];
  return Number(stopped?.["time"]) - Number(draining?.["time"]) < AGENT_KEEP_ALIVE_MS;
}

describe("after a signal the program", () => {
  const SIGNALS = ["SIGTERM", "SIGINT"] as const;
  /** The connections of a client that keeps them, as cloudflared does. */
  const kept = new Agent({ keepAlive: true });
  afterAll(() => kept.destroy());
  // Each takes its two seconds to go: those that nobody waits for yet go meanwhile.
  beforeAll(async () => {
    for (const signal of SIGNALS) {
      await answered(await readyPortOf(idle[signal]), { agent: kept });
      idle[signal].child.kill(signal);
    }
  });

  it.each(SIGNALS)("takes no more, and finishes the stream that runs: %s", async (signal) => {
    const agent = busy[signal];
    const port = await readyPortOf(agent);
    await simulator.set({ stallAfterTokens: 5 });
    const asked = ask(port, { call: { stream: true, format: "mediczy" }, agent: kept });
    await asked.came(/"content":"[^"]/);
    agent.child.kill(signal);
    await until(() => lineOf(agent, "draining"));
    // The line is out a moment before the socket is closed: a call that comes just then meets a reset.
    await until(() => failsWith(answered(port), "ECONNREFUSED"));
    await simulator.set({ stallAfterTokens: null });

    const answer = await asked.answer;
    expect(answer.whole).toBe(true);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
  });

  it.each([
    ["where nothing runs", "SIGTERM", (): RunningAgent => idle.SIGTERM],
    ["where nothing runs", "SIGINT", (): RunningAgent => idle.SIGINT],
    ["once its last stream is over", "SIGTERM", (): RunningAgent => busy.SIGTERM],
    ["once its last stream is over", "SIGINT", (): RunningAgent => busy.SIGINT],
  ])("ends with 0 %s, though cloudflared keeps its connection: %s", async (_when, _signal, agentOf) => {
    const agent = agentOf();
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    expect(lineOf(agent, "stopped")).toBeDefined();
    expect(leftBeforeKeptConnectionsEnd(agent)).toBe(true);
  });
});

describe("a second signal", () => {
  it("doesn't wait for what runs", async () => {
    const port = await readyPortOf(hurried);
    // Other agents' one-token calls come to their end all the same.
    await simulator.set({ stallAfterTokens: 5 });
    const asked = ask(port, { call: { stream: true } });
    await asked.came(/"content":"[^"]/);
    hurried.child.kill("SIGTERM");
    await until(() => lineOf(hurried, "draining"));
    hurried.child.kill("SIGTERM");
    expect(await hurried.exited).toEqual({ code: 1, signal: null });
    expect((await asked.answer).whole).toBe(false);
    await simulator.until((state) => state.generating === 0);
  });
});
