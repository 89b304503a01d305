// The programs that are measured and those they need, each started when a row first asks for it.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { unstable_readConfig } from "wrangler";
import fleet from "../fleet.config.ts";
import { buildConsole } from "../scripts/build.ts";
import { agentCommand, inherited, OFFLINE } from "../scripts/stack/commands.ts";
import { PROJECT_NODE, ROOT, SHIPPED_FLEET } from "../scripts/paths.ts";
import { ProgramSet } from "../scripts/stack/program-set.ts";
import { guardFolder, type Command } from "../scripts/stack/program.ts";
import type { Stack } from "../scripts/stack/run.ts";
import { startStack } from "../scripts/stack/stack.ts";
import { clientCall, sentOn, type Call, type Kind } from "./measures/calls.ts";
import { SIMULATOR, type Trial } from "./measures/recovery.ts";
import { workerdBinary } from "./runtimes.ts";
import { writeFleet, type FleetChange } from "./scale/fleets.ts";
import { workerdConfig } from "./workerd-config.ts";

const READY_MS = 60_000;
const READY_POLL_MS = 100;
const BOX_SECRET = "a secret of the bench alone, 32+ bytes";
const FLOOR_CONFIG = join(ROOT, "bench/floors/edge/wrangler.toml");
const EDGE_CONFIG = join(ROOT, "wrangler.toml");
/** Between two events of a slow stream: 25 tokens per second. */
const SLOW_EVENTS_MS = "40";

/** A program that runs, and the process whose CPU time counts as its own. */
export interface Running {
  readonly url: string;
  readonly pid: number;
}

export class Stage {
  readonly #programs = new ProgramSet({ cwd: ROOT, onLine: undefined, onExit: undefined });
  readonly #folder = mkdtempSync(join(tmpdir(), "isha-bench-"));
  readonly #begun = new Map<string, Promise<unknown>>();
  readonly #box = firstBox();

  constructor() {
    guardFolder(this.#folder);
  }

  async end(): Promise<void> {
    const stack = this.#begun.get(STACK) as Promise<Stack> | undefined;
    await Promise.all([this.#programs.endAll(), stack?.then((it) => it.stop()).catch(() => undefined)]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Answers as a llama-server. */
  origin(): Promise<Running> {
    return this.once("origin", () => this.#launch("origin", [file("floors/origin.ts")]));
  }

  /** Answers as the box's agent, at an origin's cost: the upstream of a measured edge. */
  fakeAgent(): Promise<Running> {
    const args = [file("floors/origin.ts"), "--agent", this.#box.name];
    return this.once("fake agent", () => this.#launch("fake agent", args));
  }

  floorEdge(): Promise<Running> {
    return this.once("floor of the edge", async () => {
      const { url } = await this.fakeAgent();
      return this.#launchEdge("floor of the edge", FLOOR_CONFIG, { ORIGIN: url });
    });
  }

  edge(): Promise<Running> {
    return this.once("edge", async () => {
      const { url } = await this.fakeAgent();
      return this.#launchOurEdge("edge", EDGE_CONFIG, { [this.#box.name]: url });
    });
  }

  /** The edge with the agent behind it: both hops. */
  wholeEdge(): Promise<Running> {
    return this.once("edge before the agent", async () => {
      const { url } = await this.agent();
      return this.#launchOurEdge("edge before the agent", EDGE_CONFIG, { [this.#box.name]: url });
    });
  }

  floorAgent(): Promise<Running> {
    return this.once("floor of the agent", async () => {
      const { url } = await this.origin();
      return this.#launch("floor of the agent", [file("floors/agent.ts"), "--origin", url]);
    });
  }

  /** The agent; each of its servers is the origin. */
  agent(): Promise<Running> {
    return this.#agentBefore("agent", () => this.origin());
  }

  /** Both hops in front of an origin with many slots and slow streams. */
  wideEdge(slots: number): Promise<Running> {
    return this.once("edge before slow streams", async () => {
      const { url } = await this.agentOfSlowStreams(slots);
      return this.#launchOurEdge("edge before slow streams", EDGE_CONFIG, { [this.#box.name]: url });
    });
  }

  /** The agent in front of an origin with many slots and slow streams. */
  agentOfSlowStreams(slots: number): Promise<Running> {
    const args = [file("floors/origin.ts"), "--slots", String(slots), "--event-ms", SLOW_EVENTS_MS];
    return this.#agentBefore("agent before slow streams", () =>
      this.once("slow origin", () => this.#launch("slow origin", args)),
    );
  }

  /** The edge of a changed fleet file, with an origin in place of each box's agent. */
  edgeOf(change: FleetChange): Promise<{ readonly edge: Running }> {
    const name = `edge of ${change.boxes} boxes, ${change.maxBodyKib} KiB`;
    return this.once(name, async () => {
      const { config } = writeFleet(this.folder("fleet"), change);
      const names = Array.from({ length: change.boxes }, (_, at) => `box${at + 1}`);
      const origins = await Promise.all(names.map((box) => this.#fakeAgentOf(box)));
      return { edge: await this.#launchOurEdge(name, config, Object.fromEntries(origins)) };
    });
  }

  async #fakeAgentOf(box: string): Promise<[string, string]> {
    const name = `fake agent of ${box}`;
    const args = [file("floors/origin.ts"), "--agent", box];
    const { url } = await this.once(name, () => this.#launch(name, args));
    return [box, url];
  }

  /** The whole product with simulated servers. `port` is a server whose model has a replica (`replicated`) or hasn't. */
  async simulated(replicated: boolean): Promise<Trial> {
    const stack = await this.once(STACK, () => startStack({ boxSecret: BOX_SECRET, simulator: SIMULATOR }));
    await untilReady(stack.boxes[0]?.agentUrl ?? "");
    const models = this.#box.servers.map(({ model }) => model);
    const isReplicated = models.map((model) => models.indexOf(model) !== models.lastIndexOf(model));
    const at = isReplicated.indexOf(replicated);
    const [port, call] = [this.#ports()[at], (await this.agentCalls("stream"))[at]];
    if (port === undefined || call === undefined) throw new Error("the fleet has no such server");
    return { stack, port, headers: call.headers };
  }

  /** An origin that reports so many slots (it doesn't enforce them), and an agent of its own. */
  async agentWithSlots(slots: number): Promise<{ readonly agent: Running; readonly origin: Running }> {
    const name = `origin of ${slots} slots`;
    const launch = (): Promise<Running> =>
      this.once(name, () => this.#launch(name, [file("floors/origin.ts"), "--slots", String(slots)]));
    return { agent: await this.#agentBefore(`agent before ${slots} slots`, launch), origin: await launch() };
  }

  #agentBefore(name: string, origin: () => Promise<Running>): Promise<Running> {
    return this.once(name, async () => {
      const originPort = Number(new URL((await origin()).url).port);
      const command = agentCommand({
        fleetFile: SHIPPED_FLEET,
        box: this.#box.name,
        port: 0,
        boxSecret: BOX_SECRET,
        llamaApiKey: "a key of the bench alone",
        upstreamPorts: Object.fromEntries(this.#ports().map((port) => [port, originPort])),
        simulatedPorts: [],
        // Only calls are measured; no edge listens for a link.
        edgeUrl: "off",
        stateFolder: join(this.#folder, name.replaceAll(" ", "-")),
        further: {},
      });
      const agent = await this.#start(name, command);
      await untilReady(agent.url);
      return agent;
    });
  }

  /** What a client sends: one call for each server, sent in turn, so that no server has to queue. */
  clientCalls(kind: Kind, tokens?: number): Call[] {
    return this.#ports().map((port) => clientCall(kind, port, tokens));
  }

  /** What the edge makes of those for an agent, seen by sending each once. */
  agentCalls(kind: Kind, tokens?: number): Promise<Call[]> {
    return this.once(`calls to an agent: ${kind} of ${tokens ?? "as many"} tokens`, async () => {
      const [edge, agent] = await Promise.all([this.edge(), this.fakeAgent()]);
      const calls: Call[] = [];
      for (const call of this.clientCalls(kind, tokens)) {
        const { path, headers, body } = call;
        const answer = await fetch(edge.url + path, { method: "POST", headers, body });
        const text = await answer.text();
        if (!answer.ok)
          throw new Error(`the edge answered ${answer.status}: ${text}\n${this.#lastLines("edge")}`);
        const seen = (await (await fetch(`${agent.url}/last-call`)).json()) as Record<string, unknown>;
        calls.push(sentOn(call, seen));
      }
      return calls;
    });
  }

  /** A folder of its own for a program's files, gone with the bench. */
  folder(name: string): string {
    return mkdtempSync(join(this.#folder, `${name}-`));
  }

  /** Starts a program of another project that listens on `port`, and waits until it accepts connections. */
  launchPeer(name: string, command: Command, port: number): Promise<Running> {
    return this.once(name, () =>
      this.#programs.launch(name, command, async (program) => {
        await untilAccepts(port, () => program.running());
        return { url: `http://127.0.0.1:${port}`, pid: program.pid };
      }),
    );
  }

  /** The path of a Worker as it would be uploaded. */
  bundle(config: string): Promise<string> {
    return this.once(`bundle of ${config}`, async () => {
      const folder = mkdtempSync(join(this.#folder, "bundle-"));
      await buildConsole();
      const name = `wrangler deploy --dry-run of ${config}`;
      const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
      const args = [wrangler, "deploy", "--dry-run", "--outdir", folder, "--config", config];
      const env = { ...inherited(process.env), ...OFFLINE, CI: "1", NO_COLOR: "1" };
      await this.#programs.launch(name, { command: PROJECT_NODE, args, env }, async (program) => {
        const { code } = await program.exited;
        if (code !== 0) throw new Error(`${name} failed.\n${program.lines().join("\n")}`);
      });
      return folder;
    });
  }

  /** The edge's own. */
  edgeBundle(): Promise<string> {
    return this.bundle(EDGE_CONFIG);
  }

  /** The programs' last lines, for an error's text. */
  lastLines(): string {
    return [...this.#begun.keys()]
      .map((name) => this.#lastLines(name))
      .filter(Boolean)
      .join("\n");
  }

  #lastLines(name: string): string {
    try {
      const lines = this.#programs.get(name).lines(8);
      return lines.length === 0
        ? ""
        : [`Last lines of ${name}:`, ...lines.map((line) => `  ${line}`)].join("\n");
    } catch {
      return ""; // Never started.
    }
  }

  #ports(): number[] {
    return this.#box.servers.map(({ port }) => port);
  }

  /** @param origins URL of each box's agent */
  #launchOurEdge(name: string, config: string, origins: Readonly<Record<string, string>>): Promise<Running> {
    return this.#launchEdge(name, config, {
      DEV_KEYS: "1",
      BOX_SECRET,
      BOX_ORIGINS: JSON.stringify(origins),
    });
  }

  async #launchEdge(name: string, config: string, vars: Record<string, string>): Promise<Running> {
    const folder = await this.bundle(config);
    const modules = readdirSync(folder).filter((name) => name.endsWith(".js"));
    const settings = unstable_readConfig({ config }, { hideWarnings: true });
    const file = join(folder, `${name.replaceAll(" ", "-")}.capnp`);
    const storage = mkdtempSync(join(this.#folder, "objects-"));
    writeFileSync(file, workerdConfig(settings, modules, vars, storage));
    const args = ["serve", "--control-fd=1", file];
    return this.#start(name, { command: workerdBinary(), args, env: inherited(process.env) });
  }

  #launch(name: string, args: string[]): Promise<Running> {
    return this.#start(name, { command: PROJECT_NODE, args, env: inherited(process.env) });
  }

  #start(
    name: string,
    command: { command: string; args: string[]; env: Record<string, string> },
  ): Promise<Running> {
    return this.#programs.launch(name, command, async (program) => {
      const port = await program.waitFor(listening, READY_MS);
      return { url: `http://127.0.0.1:${port}`, pid: program.pid };
    });
  }

  /** Starts or measures something once; later calls get the same result. */
  once<T>(name: string, begin: () => Promise<T>): Promise<T> {
    const begun = this.#begun.get(name) as Promise<T> | undefined;
    const work = begun ?? begin();
    this.#begun.set(name, work);
    return work;
  }
}

const STACK = "simulated stack";

function firstBox(): (typeof fleet.boxes)[number] {
  const [box] = fleet.boxes;
  if (box === undefined) throw new Error("the fleet file has no box");
  return box;
}

/** An agent refuses calls until it has seen its servers ready. */
async function untilReady(agentUrl: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const health = (await (await fetch(`${agentUrl}/healthz`)).json()) as { servers: { state: string }[] };
    if (health.servers.every(({ state }) => state === "ready")) return;
    if (performance.now() > deadline)
      throw new Error(`the agent's servers aren't ready: ${JSON.stringify(health)}`);
    await pause(READY_POLL_MS);
  }
}

/** @throws Error if the program exits before that, or isn't there in a minute */
async function untilAccepts(port: number, running: () => boolean): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const accepted = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (accepted) return;
    if (!running() || performance.now() > deadline) throw new Error(`nothing listens on port ${port}`);
    await pause(READY_POLL_MS);
  }
}

function file(path: string): string {
  return join(ROOT, "bench", path);
}

/** The port, from the line of JSON that each of the programs prints once it listens. */
function listening(line: string): number | undefined {
  if (!line.startsWith("{") || !line.includes('"port":')) return undefined;
  const parsed = JSON.parse(line) as { port: number; event?: string };
  // An agent names its servers' ports too, before its own.
  return parsed.event === undefined || parsed.event.startsWith("listen") ? parsed.port : undefined;
}
