// Runs the agent as the program that PM2 starts: its environment, its first log line, and how it stops. All programs of
// this file start at once; each test uses its own.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AGENT_KEEP_ALIVE_MS } from "../../shared/limits.ts";
import type { SimulatedServer } from "../sim/start.ts";
import {
  agentPrograms,
  lineOf,
  portOf,
  readyPortOf,
  type AgentPrograms,
  type RunningAgent,
} from "./support/agent-programs.ts";
import { answered, ask, dataOf, errorOf, jsonOf, TOKEN, type Answer } from "./support/ask.ts";
import { BOX_SECRET, LLAMA_API_KEY, reset, startSimulator, WANTED } from "./support/box.ts";
import { startEdgeDouble, type EdgeDouble } from "./support/edge-double.ts";
import { until } from "../support/until.ts";

const NEW_SECRET = "another-secret-of-the-tests";

let programs: AgentPrograms;
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

beforeAll(async () => {
  [simulator, edge] = await Promise.all([startSimulator(WANTED), startEdgeDouble()]);
  programs = await agentPrograms(simulator.port);
  const start = (environment?: Record<string, string>, fleet?: string): RunningAgent =>
    programs.start(environment, fleet);
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
  await programs.end();
  await edge.close();
  await simulator.stop();
});

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
    const folder = join(hurried.state, "journal");
    const journal = new DatabaseSync(join(folder, "usage.sqlite"), { readOnly: true });
    const bookedAs = async (callId: string): Promise<object> =>
      until(() =>
        journal.prepare("SELECT * FROM calls WHERE callId = ? AND outcome <> 'interrupted'").get(callId),
      );
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
      estimated: 0,
    });
    expect(await bookedAs("req-b")).toMatchObject({ outcome: "complete", promptTokens, completionTokens });
    expect(await bookedAs("req-c")).toMatchObject({ outcome: "refused", promptTokens: null });
    journal.close();
    const stored = await Promise.all(
      (await readdir(folder)).map((name) => readFile(join(folder, name), "latin1")),
    );
    const text = stored.join("");
    expect(text).toContain("req-a");
    expect(text).not.toMatch(/marker|simulated/i);
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
      const module = join(programs.folder, "failing.mjs");
      await writeFile(module, failing(fault));
      const agent = programs.start({ NODE_OPTIONS: `--import=${module}` });
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
