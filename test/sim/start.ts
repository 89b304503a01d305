// Starts a simulated llama-server as a process of its own and gives a test its reins.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "../support/until.ts";
import type { Finished, Received } from "./llama/ledger.ts";
import type { Switches } from "./llama/switches.ts";

export interface StartOptions {
  alias?: string;
  parallel?: number;
  /** Tokens of context over all slots. */
  context?: number;
  apiKey?: string;
  port?: number;
  switches?: Partial<Switches>;
  /** Milliseconds during which every route answers 503. */
  loadMs?: number;
  tokensPerSecond?: number;
  promptTokensPerSecond?: number;
  /** Any further flags, as llama-server takes them. */
  flags?: string[];
}

/** What `GET /state` of the control port answers. */
export interface State {
  switches: Switches;
  loading: boolean;
  ending: boolean;
  openSockets: number;
  generating: number;
  deferred: number;
  requestsByRoute: Record<string, number>;
  finished: Finished[];
  received: Received[];
}

/** How a process ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A simulated server, in a process of its own or in the test's. */
export interface OpenServer {
  port: number;
  url: string;
  state(): Promise<State>;
  /** Merges switches; resolves with the state after it. */
  set(switches: Partial<Switches>): Promise<State>;
  /** Empties what the server remembers of requests. */
  forget(): Promise<State>;
  /** Waits until the state is as wanted. */
  until(wanted: (state: State) => boolean): Promise<State>;
  /** Ends it, however it is switched. */
  stop(): Promise<unknown>;
}

export interface SimulatedServer extends OpenServer {
  controlUrl: string;
  pid: number;
  /** Ends the process as the kernel's out-of-memory killer does. */
  die(): Promise<Exit>;
  stop(): Promise<Exit>;
  exited: Promise<Exit>;
}

const PROGRAM = fileURLToPath(new URL("llama-server.ts", import.meta.url));

export async function startLlamaServer(options: StartOptions = {}): Promise<SimulatedServer> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", PROGRAM, ...flagsOf(options)],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const { port, control } = await announced(child, exited);
  const controlUrl = `http://127.0.0.1:${control}`;
  const kill = async (): Promise<Exit> => {
    child.kill("SIGKILL");
    return exited;
  };
  const state = async (): Promise<State> => asState(await fetch(`${controlUrl}/state`));
  const post = async (path: string, body: unknown = {}): Promise<State> =>
    asState(await fetch(controlUrl + path, { method: "POST", body: JSON.stringify(body) }));
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    controlUrl,
    pid: child.pid ?? -1,
    state,
    set: async (switches) => post("/switches", switches),
    forget: async () => post("/forget"),
    until: async (wanted) => untilState(state, wanted),
    die: kill,
    stop: kill,
    exited,
  };
}

/** Waits until a server's state is as wanted; the error shows the last one. */
export async function untilState(
  state: () => Promise<State>,
  wanted: (state: State) => boolean,
): Promise<State> {
  let last: State | null = null;
  const reached = async (): Promise<State | null> => {
    last = await state();
    return wanted(last) ? last : null;
  };
  return until(reached, String(wanted)).catch((error: unknown) => {
    throw new Error(`the state never came: ${JSON.stringify({ ...last, received: [] })}`, { cause: error });
  });
}

/** The command line of a server with these options. */
export function flagsOf(options: StartOptions): string[] {
  const flags = ["--port", String(options.port ?? 0), "--sim-control-port", "0", "--sim-exit-with-stdin"];
  flags.push("--metrics", "--slots");
  const add = (flag: string, value: string | number | undefined): void => {
    if (value !== undefined) flags.push(flag, String(value));
  };
  add("--alias", options.alias);
  add("--parallel", options.parallel);
  add("-c", options.context);
  add("--api-key", options.apiKey);
  add("--sim-load-ms", options.loadMs);
  add("--sim-tokens-per-second", options.tokensPerSecond);
  add("--sim-prompt-tokens-per-second", options.promptTokensPerSecond);
  if (options.switches) add("--sim-switches", JSON.stringify(options.switches));
  return [...flags, ...(options.flags ?? [])];
}

/** The line a simulated server prints once it listens. */
async function announced(
  child: ChildProcess,
  exited: Promise<Exit>,
): Promise<{ port: number; control: number }> {
  const lines = child.stdout ? createInterface({ input: child.stdout }) : null;
  const line = new Promise<string>((resolve) => lines?.once("line", resolve));
  const ended = exited.then((exit): never => {
    throw new Error(`the simulated server ended before it listened: ${JSON.stringify(exit)}`);
  });
  return JSON.parse(await Promise.race([line, ended])) as { port: number; control: number };
}

async function asState(response: Response): Promise<State> {
  if (!response.ok) throw new Error(`the control port refused: ${await response.text()}`);
  return (await response.json()) as State;
}
