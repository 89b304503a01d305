// `npm start`: the whole product on this machine until Ctrl-C. It prints; stack/ and start/ do the work.
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describeExit, guardFolder } from "./stack/program.ts";
import { ROOT, SHIPPED_FLEET } from "./paths.ts";
import { watchInterrupt } from "./stack/interrupt.ts";
import { isFree } from "./stack/ports.ts";
import { agentAt } from "./stack/real-servers.ts";
import { readPort, readStartArguments, START_USAGE } from "./start/arguments.ts";
import { openDemo, type Demo } from "./start/demo.ts";
import { fleetFileText, withBoxes } from "./start/more-boxes.ts";
import { paint, startScreen } from "./start/screen.ts";
import { startTraffic } from "./start/traffic.ts";
import { loadFleet, startStack } from "./stack/stack.ts";
import type { UnexpectedExit } from "./stack/program-set.ts";
import type { Stack } from "./stack/run.ts";

interface Port {
  port: number;
  fixed: boolean;
}

const EDGE_PORT = 8787;
const AGENT_PORT = 8000;
const STATE_MS = 1_000;
const WATCH_MS = 5_000;
const RETURN_POLL_MS = 100;
const TOLD_LINES = 2;
const TOLD_LENGTH = 200;

const colours = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";
const style = paint(colours);

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function main(argv: string[]) {
  const wanted = readStartArguments(argv);
  if (wanted.help) return console.log(START_USAGE);
  const edgePort = readPort("EDGE_PORT", process.env["EDGE_PORT"], EDGE_PORT);
  const agentPort = readPort("AGENT_PORT", process.env["AGENT_PORT"], AGENT_PORT);
  if (wanted.real) await refuseBesideAgent(agentPort.port);
  await refuseTaken("EDGE_PORT", edgePort);
  await refuseTaken("AGENT_PORT", agentPort);

  const { signal } = watchInterrupt();
  signal.addEventListener("abort", () => console.log("\nStopping …"));
  const { fleetFile, folder } = await chooseFleet(wanted);
  const fleet = await loadFleet(fleetFile);
  let stack: Stack | null = null;
  const onStarted = (name: string) => void announceReturn(name, stack, signal);
  const demo = await openDemo({ fleet, real: wanted.real, onStarted });
  try {
    stack = await startStack({
      fleetFile,
      edgePort: edgePort.fixed ? edgePort.port : { from: edgePort.port },
      agentPort: agentPort.fixed ? agentPort.port : { from: agentPort.port },
      real: wanted.real,
      llamaApiKey: process.env["LLAMA_API_KEY"] || undefined,
      agentEnv: demo.agentEnv,
      signal,
      onProgress: (line) => console.log(style.dim(`${line} …`)),
      onExit: (exit) => console.error(style.warn(exitText(exit, demo))),
      onLine: wanted.verbose ? printLine : undefined,
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      return null;
    });
    if (stack !== null) {
      demo.attach(stack);
      await showScreen(stack, demo, [
        ...movedNote("edge", edgePort, stack.edgeUrl),
        ...movedNote("agent", agentPort, stack.boxes[0]?.agentUrl ?? ""),
      ]);
      const watch = watchEdge(stack.edgeUrl);
      if (wanted.traffic) startTraffic(stack.edgeUrl, stack.fleet, signal);
      if (!signal.aborted) await once(signal, "abort");
      clearInterval(watch);
    }
  } finally {
    await demo.end();
    await stack?.stop();
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  }
  console.log("Stopped.");
}

/** The fleet file to serve: the user's or the shipped one, or with `--boxes` one made from it. */
async function chooseFleet({ fleet, boxes }: { fleet: string | null; boxes: number | null }) {
  // npm changes to the project's folder; a file is named relative to the user's folder.
  const given = fleet === null ? SHIPPED_FLEET : resolve(process.env["INIT_CWD"] ?? ".", fleet);
  if (boxes === null) return { fleetFile: given, folder: null };
  const parent = join(ROOT, ".wrangler");
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, "start-"));
  guardFolder(folder);
  const fleetFile = join(folder, "fleet.config.ts");
  await writeFile(fleetFile, fleetFileText(withBoxes(await loadFleet(given), boxes)));
  return { fleetFile, folder };
}

async function showScreen(stack: Stack, { gpuSimulated }: Demo, notes: string[]) {
  const urls = stack.boxes.flatMap(({ servers }) => servers.map(({ url }) => url));
  const states = new Map(
    await Promise.all(urls.map(async (url) => [url, await stateAt(`${url}/health`)] as const)),
  );
  const stateOf = (url: string) => states.get(url) ?? "down";
  console.log(startScreen({ stack, stateOf, gpuSimulated, notes, paint: style }));
}

/** A killed program runs again: says so once it can be used. @param name `server box1:8085` or `agent box1` */
async function announceReturn(name: string, stack: Stack | null, signal: AbortSignal) {
  const startedAt = performance.now();
  const [, boxName = "", port] = /^\w+ (.*?)(?::(\d+))?$/.exec(name) ?? [];
  const box = stack?.boxes.find((box) => box.name === boxName);
  const server = box?.servers.find((server) => String(server.port) === port);
  const url = server === undefined ? `${box?.agentUrl}/healthz` : `${server.url}/health`;
  while ((await stateAt(url)) !== "ready") {
    // It was killed again, or the end has begun.
    if (signal.aborted || server?.pid === null) return;
    await new Promise((resolve) => setTimeout(resolve, RETURN_POLL_MS));
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const pid = server?.pid ?? box?.agentPid;
  console.log(`The ${name} is back, ready ${seconds} s after its start (pid ${pid}).`);
}

/** wrangler outlives a crash of the Worker's runtime, and not always with a runtime that answers. */
function watchEdge(edgeUrl: string) {
  let answered = true;
  const look = async () => {
    const answers = (await stateAt(`${edgeUrl}/livez`, WATCH_MS)) === "ready";
    if (answers !== answered) {
      const text = answers
        ? "The edge answers again."
        : "The edge doesn't answer; if that doesn't change, restart it.";
      console.error(style.warn(text));
    }
    answered = answers;
  };
  return setInterval(() => void look(), WATCH_MS);
}

async function refuseBesideAgent(port: number) {
  const box = await agentAt(port);
  if (box === null) return;
  throw new Error(
    `--real: the origin agent of "${box}" answers on port ${port} already, and two agents would hand out the ` +
      "same slots twice. Stop that one first, or leave out --real.",
  );
}

async function refuseTaken(name: string, { port, fixed }: Port) {
  if (!fixed || (await isFree(port))) return;
  throw new Error(
    `${name}=${port}: another program listens there. Choose another port, or leave ${name} unset to get the next free one.`,
  );
}

function movedNote(what: string, request: Port, url: string) {
  const port = Number(new URL(url).port);
  return port === request.port ? [] : [`Port ${request.port} is busy, so the ${what} is on ${port}.`];
}

async function stateAt(url: string, withinMs: number = STATE_MS): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(withinMs) });
    await response.body?.cancel();
    return response.status === 200 ? "ready" : "loading";
  } catch {
    return "down";
  }
}

function exitText({ name, exit, lines }: UnexpectedExit, demo: Demo) {
  const delayMs = demo.exited(name);
  const next =
    delayMs === null
      ? "The agents and servers go on; Ctrl-C, then npm start again brings it back."
      : `It starts again in ${(delayMs / 1_000).toFixed(1)} s, as under PM2.`;
  const last = lines.slice(-TOLD_LINES).map((line) => line.trim().slice(0, TOLD_LENGTH));
  // A server says nothing of a kill -9, and its start-up lines are no reason.
  const said = exit.signal === "SIGKILL" || last.length === 0 ? "" : ` It last said: ${last.join(" | ")}`;
  return `The ${name} ended ${describeExit(exit)}. ${next}${said}`;
}

function printLine(name: string, line: string) {
  console.log(`${style.dim(`[${name}]`)} ${line.replaceAll(ROOT, ".")}`);
}
