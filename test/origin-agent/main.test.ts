// Runs the agent as the program that PM2 starts: its environment, its first log line, and how it stops. All programs of
// this file start at once; each test uses its own.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Presence } from "../../origin-agent/presence.ts";
import { journalFolder } from "../../origin-agent/usage/files.ts";
import { JournalReader } from "../../origin-agent/usage/reader.ts";
import { AGENT_KEEP_ALIVE_MS } from "../../shared/limits.ts";
import type { UsageCall } from "../../shared/usage.ts";
import { boxInput, fleetInput } from "../shared/support/fleet-input.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask, dataOf, errorOf, jsonOf, TOKEN, type Answer, type Json } from "./support/ask.ts";
import { BOX_SECRET, LLAMA_API_KEY, OTHER, REPLICA, reset, startSimulator, WANTED } from "./support/box.ts";
import { startEdgeDouble, type EdgeDouble } from "./support/edge-double.ts";
import { until } from "../support/until.ts";

const PROGRAM = fileURLToPath(new URL("../../origin-agent/main.ts", import.meta.url));
const SHARED_FLEET = new URL("../../shared/fleet.ts", import.meta.url).href;
const NEW_SECRET = "another-secret-of-the-tests";

interface RunningAgent {
  readonly child: ChildProcess;
  /** Its own folder, so that the agents don't detect each other as one box. */
  readonly state: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Everything written to stdout and stderr. */
  output(): string;
  /** Its log lines. */
  lines(): Json[];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

let folder: string;
let simulator: SimulatedServer;
let edge: EdgeDouble;
/** Linked to its edge, during a rotation of its secret. */
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
      // Nothing listens on port 1, so the other two servers are down whatever else runs on this machine.
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
      // The last element is incomplete or empty.
      .slice(0, -1)
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Json);
  const agent = { child, state, environment, output: () => written.stdout + written.stderr, lines, exited };
  started.push(agent);
  return agent;
}

const lineOf = (agent: RunningAgent, event: string): Json | undefined =>
  agent.lines().find((line) => line["event"] === event);

/** The port on which an agent listens, from its log. */
const portOf = async (agent: RunningAgent): Promise<number> =>
  Number((await until(() => lineOf(agent, "listening")))["port"]);

/** The same, once the agent reports its server as ready: a slow probe may have failed at first. */
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
  it("listens on loopback, logs its address and box, and answers calls", async () => {
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

  it("accepts the previous secret's token during a rotation", async () => {
    expect((await answered(await readyPortOf(linked))).status).toBe(200);
    const others = { "x-isha-token": TOKEN.replaceAll(/./g, "0") };
    expect((await answered(await readyPortOf(linked), { headers: others })).status).toBe(403);
  });

  it("refuses to start with an invalid environment, and names every invalid variable but no value", async () => {
    expect(await wrong.exited).toMatchObject({ code: 1 });
    expect(wrong.output()).toContain("BOX_SECRET");
    expect(wrong.output()).toContain("LOG_LEVEL");
    expect(wrong.output()).not.toMatch(/too-short-value|loud-value/);
  });

  it("requires a box name if the fleet file has two boxes, and runs as that box", async () => {
    expect(await lost.exited).toMatchObject({ code: 1 });
    expect(lost.output()).toContain("ISHA_BOX must name this machine's box in the fleet file (north, south)");
    await portOf(south);
    expect(south.lines()[0]).toMatchObject({ box: "south" });
  });

  it("refuses a box that is not in the fleet file", async () => {
    expect(await west.exited).toMatchObject({ code: 1 });
    expect(west.output()).toContain('got "west"');
  });

  it("books each call's start and end in its journal, and none of its text", async () => {
    // This agent has no edge: the journal doesn't return calls that an edge has acknowledged.
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

  it("reports the box's state to the edge, by its token, and not through a tunnel without it", async () => {
    const url = `http://127.0.0.1:${await readyPortOf(idle.SIGTERM)}/fleet`;
    const tunnelled = { "cf-ray": "1-FRA" };
    expect((await fetch(url, { headers: tunnelled })).status).toBe(403);
    const fleet = await until(async () => {
      const response = await fetch(url, { headers: { ...tunnelled, "x-isha-token": TOKEN } });
      const answer = (await response.json()) as { servers: { state: string; busy: number }[] };
      const [first] = answer.servers;
      // A probe call of this agent or of another agent in this file may be running for a moment.
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

  it("links to its edge, reports each call and follows its commands", async () => {
    const port = await readyPortOf(linked);
    const [hello] = await edge.received("hello");
    expect(hello).toMatchObject({ box: "north", servers: [{ port: WANTED, model: "Heron-3B" }, {}, {}] });
    expect((await answered(port, { call: { requestId: "req-linked" } })).status).toBe(200);
    const booked = await until(() => [...edge.booked.values()].find(({ callId }) => callId === "req-linked"));
    expect(booked.outcome).toBe("complete");
    edge.send({ t: "drain", at: 1 });
    await until(async () => {
      const answer = await answered(port);
      return answer.status === 503 && errorOf(answer).code === "draining";
    });
    edge.send({ t: "resume", at: 2 });
    await until(async () => (await answered(port)).status === 200);
    expect(edge.faults).toEqual([]);
  });

  it("is visible to the box's other agent from its start, not from its first call, until it exits", async () => {
    const state = join(folder, "state-shared");
    const [old, next] = [start({ ISHA_STATE: state }), start({ ISHA_STATE: state })];
    const agents = [old, next];
    await Promise.all(agents.map(portOf));
    const epochs = agents.map((agent) => String(lineOf(agent, "listening")?.["epoch"]));
    const sees = (epoch: string | undefined): boolean =>
      new Presence(join(state, "agents"), epoch ?? "").isShared();
    expect(epochs.map(sees)).toEqual([true, true]);
    old.child.kill("SIGKILL");
    await old.exited;
    expect(epochs.map(sees)).toEqual([true, false]);
    const third = start({ ISHA_STATE: state });
    await portOf(third);
    // The file of the exited process is gone.
    expect(await readdir(join(state, "agents"))).toHaveLength(2);
  });

  it("stays drained in its next process, without a link and with one, until the edge sends a newer resume", async () => {
    const own = await startEdgeDouble();
    const state = join(folder, "state-drained");
    const restarted = async (environment: Record<string, string>): Promise<RunningAgent> => {
      for (const agent of started.filter((one) => one.environment["ISHA_STATE"] === state)) {
        agent.child.kill("SIGKILL");
        await agent.exited;
      }
      return start({ ISHA_STATE: state, ...environment });
    };
    const code = async (agent: RunningAgent): Promise<string | null> => {
      const answer = await answered(await portOf(agent));
      return answer.status === 200 ? null : errorOf(answer).code;
    };
    const first = await restarted({ EDGE_URL: own.url });
    await own.received("snapshot");
    own.send({ t: "drain", at: 7 });
    await until(async () => (await code(first)) === "draining");

    const unlinked = await restarted({});
    expect(await code(unlinked)).toBe("draining");
    expect(lineOf(unlinked, "drain")).toMatchObject({ since: 7 });

    const last = await restarted({ EDGE_URL: own.url });
    const [, hello] = await own.received("hello", 2);
    expect(hello?.drain).toEqual({ drained: true, at: 7 });
    own.send({ t: "resume", at: 6 });
    own.send({ t: "revoke", keyId: "after-the-old-resume" });
    await until(() => lineOf(last, "revoked"));
    expect(await code(last)).toBe("draining");
    own.send({ t: "resume", at: 8 });
    await until(async () => (await code(last)) === null);
    expect(own.faults).toEqual([]);
    await own.close();
  });

  it("sends bye to its edge when it stops, and never writes a prompt, an answer or a secret to stdout or stderr", async () => {
    await answered(await readyPortOf(linked), { call: { requestId: "req-y", stream: true }, body: PROMPT });
    await simulator.set({ fault: "echo500" });
    await answered(await readyPortOf(linked), { call: { requestId: "req-z" }, body: PROMPT });
    linked.child.kill("SIGTERM");
    expect(await linked.exited).toEqual({ code: 0, signal: null });
    await edge.received("bye");
    expect(edge.faults).toEqual([]);
    const logged = linked.lines().filter((line) => line["event"] === "call");
    expect(logged.map((line) => line["request_id"])).toEqual(expect.arrayContaining(["req-y", "req-z"]));
    expect(linked.output()).not.toMatch(/marker|simulated|asked about/i);
    for (const secret of [BOX_SECRET, NEW_SECRET, LLAMA_API_KEY])
      expect(linked.output()).not.toContain(secret);
  });
});

/** Compares log times: waiting for idle connections would have taken as long as they are kept alive. */
function stoppedBeforeKeepAliveEnds(agent: RunningAgent): boolean {
  const [draining, stopped] = [lineOf(agent, "draining"), lineOf(agent, "stopped")];
  return Number(stopped?.["time"]) - Number(draining?.["time"]) < AGENT_KEEP_ALIVE_MS;
}

describe("after a signal the program", () => {
  const SIGNALS = ["SIGTERM", "SIGINT"] as const;
  /** A client that keeps its connections alive, as cloudflared does. */
  const kept = new Agent({ keepAlive: true });
  afterAll(() => kept.destroy());
  // Each takes two seconds to stop; the idle ones stop while other tests run.
  beforeAll(async () => {
    for (const signal of SIGNALS) {
      await answered(await readyPortOf(idle[signal]), { agent: kept });
      idle[signal].child.kill(signal);
    }
  });

  const streams = new Map<(typeof SIGNALS)[number], Promise<Answer>>();
  /** Sends the signal to a busy agent while it streams, once per signal. @returns the stream's answer */
  function signalDuringStream(signal: (typeof SIGNALS)[number]): Promise<Answer> {
    const stream = streams.get(signal) ?? startAndSignal(busy[signal], signal);
    streams.set(signal, stream);
    return stream;
  }

  async function startAndSignal(agent: RunningAgent, signal: NodeJS.Signals): Promise<Answer> {
    const port = await readyPortOf(agent);
    await simulator.set({ stallAfterTokens: 5 });
    const call = ask(port, { call: { stream: true, format: "mediczy" }, agent: kept });
    await call.arrived(/"content":"[^"]/);
    agent.child.kill(signal);
    await until(() => lineOf(agent, "draining"));
    // The line is logged just before the socket closes: a call in that moment gets a reset.
    await until(() => failsWith(answered(port), "ECONNREFUSED"));
    await simulator.set({ stallAfterTokens: null });
    return call.answer;
  }

  const idleAgent = (signal: (typeof SIGNALS)[number]): Promise<RunningAgent> =>
    Promise.resolve(idle[signal]);
  const busyAgent = async (signal: (typeof SIGNALS)[number]): Promise<RunningAgent> => {
    await signalDuringStream(signal);
    return busy[signal];
  };

  it.each(SIGNALS)("accepts no new calls and finishes the running stream: %s", async (signal) => {
    const answer = await signalDuringStream(signal);
    expect(answer.complete).toBe(true);
    expect(dataOf(answer).at(-1)).toBe("[DONE]");
  });

  it.each([
    ["if no call is running", "SIGTERM", idleAgent],
    ["if no call is running", "SIGINT", idleAgent],
    ["after its last stream has ended", "SIGTERM", busyAgent],
    ["after its last stream has ended", "SIGINT", busyAgent],
  ] as const)(
    "exits with 0 %s, even if cloudflared keeps its connection: %s",
    async (_when, signal, agentOf) => {
      const agent = await agentOf(signal);
      expect(await agent.exited).toEqual({ code: 0, signal: null });
      expect(lineOf(agent, "stopped")).toBeDefined();
      expect(stoppedBeforeKeepAliveEnds(agent)).toBe(true);
    },
  );
});

describe("a second signal", () => {
  it("stops the program without waiting for running calls", async () => {
    const port = await readyPortOf(hurried);
    // The stall begins after 5 tokens, so the one-token probe calls of other agents still end.
    await simulator.set({ stallAfterTokens: 5 });
    const call = ask(port, { call: { stream: true } });
    await call.arrived(/"content":"[^"]/);
    hurried.child.kill("SIGTERM");
    await until(() => lineOf(hurried, "draining"));
    hurried.child.kill("SIGTERM");
    expect(await hurried.exited).toEqual({ code: 1, signal: null });
    expect((await call.answer).complete).toBe(false);
    await simulator.until((state) => state.generating === 0);
  });
});

/** Fails like JSON.parse does on a prompt, whose words are in the message, in code that no caller can catch. */
const FAULTS = {
  "an uncaught exception": `throw new SyntaxError(MESSAGE)`,
  "an unhandled rejection": `void Promise.reject(new TypeError(MESSAGE))`,
} as const;
const MESSAGE = "Marker-Of-The-Prompt\n    at Marker-Of-The-Prompt (file:///x.js:1:1)";

/** A module that makes a program fail on SIGUSR2. */
const failing = (fault: string): string =>
  `process.on("SIGUSR2", () => void setImmediate(() => { ${fault.replace("MESSAGE", JSON.stringify(MESSAGE))}; }));`;

describe("after", () => {
  it.each(Object.entries(FAULTS))(
    "%s the program logs its name and frames only, finishes its calls and exits with 1",
    async (_what, fault) => {
      const module = join(folder, "failing.mjs");
      await writeFile(module, failing(fault));
      const agent = start({ NODE_OPTIONS: `--import=${module}` });
      const port = await readyPortOf(agent);
      await simulator.set({ stallAfterTokens: 5 });
      const call = ask(port, { call: { stream: true }, body: PROMPT });
      await call.arrived(/"content":"[^"]/);
      agent.child.kill("SIGUSR2");
      const line = await until(() => lineOf(agent, "uncaught"));
      expect(line).toMatchObject({ name: expect.stringMatching(/^(Syntax|Type)Error$/) as string });
      expect(line["frames"]).toEqual(expect.arrayContaining([expect.stringMatching(/^at /)]));
      await until(() => failsWith(answered(port), "ECONNREFUSED"));
      await simulator.set({ stallAfterTokens: null });
      expect(dataOf(await call.answer).at(-1)).toBe("[DONE]");
      expect(await agent.exited).toEqual({ code: 1, signal: null });
      expect(agent.output()).not.toContain("Marker");
    },
  );
});
