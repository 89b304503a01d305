// `npm start`: the whole product on this machine until Ctrl-C. It prints; stack/ does the work.
import { once } from "node:events";
import { resolve } from "node:path";
import { describeExit } from "./stack/program.ts";
import { ROOT, SHIPPED_FLEET } from "./paths.ts";
import { watchInterrupt } from "./stack/interrupt.ts";
import { isFree } from "./stack/ports.ts";
import { agentAt } from "./stack/real-servers.ts";
import { readPort, readStartArguments, START_USAGE } from "./start/arguments.ts";
import { paint, startScreen } from "./start/screen.ts";
import { startStack } from "./stack/stack.ts";
import type { UnexpectedExit } from "./stack/program-set.ts";

interface Port {
  port: number;
  fixed: boolean;
}

const EDGE_PORT = 8787;
const AGENT_PORT = 8000;
const STATE_MS = 1_000;
const WATCH_MS = 5_000;
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
  const stack = await startStack({
    // npm changes to the project's folder; a file is named relative to the user's folder.
    fleetFile: wanted.fleet === null ? SHIPPED_FLEET : resolve(process.env["INIT_CWD"] ?? ".", wanted.fleet),
    edgePort: edgePort.fixed ? edgePort.port : { from: edgePort.port },
    agentPort: agentPort.fixed ? agentPort.port : { from: agentPort.port },
    real: wanted.real,
    llamaApiKey: process.env["LLAMA_API_KEY"] || undefined,
    signal,
    onProgress: (line) => console.log(style.dim(`${line} …`)),
    onExit: (exit) => console.error(style.warn(exitText(exit))),
    onLine: wanted.verbose ? printLine : undefined,
  }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    return null;
  });
  if (stack === null) return console.log("Stopped.");

  const urls = stack.boxes.flatMap(({ servers }) => servers.map(({ url }) => url));
  const states = new Map(
    await Promise.all(urls.map(async (url) => [url, await stateAt(`${url}/health`)] as const)),
  );
  const notes = [
    ...movedNote("edge", edgePort, stack.edgeUrl),
    ...movedNote("agent", agentPort, stack.boxes[0]?.agentUrl ?? ""),
  ];
  console.log(startScreen({ stack, stateOf: (url) => states.get(url) ?? "down", notes, paint: style }));
  const watch = watchEdge(stack.edgeUrl);
  if (!signal.aborted) await once(signal, "abort");
  clearInterval(watch);
  await stack.stop();
  console.log("Stopped.");
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

function exitText({ name, exit, lines }: UnexpectedExit) {
  const goesOn =
    name === "edge"
      ? "The agents and servers go on; Ctrl-C, then npm start again brings the edge back."
      : name.startsWith("agent ")
        ? "The edge goes on and says that this box can't be reached."
        : "The rest goes on; calls for it fall back to other models.";
  const last = lines.slice(-TOLD_LINES).map((line) => line.trim().slice(0, TOLD_LENGTH));
  const said = last.length === 0 ? "It said nothing." : `It last said: ${last.join(" | ")}`;
  return `The ${name} ended ${describeExit(exit)}. ${goesOn} ${said}`;
}

function printLine(name: string, line: string) {
  console.log(`${style.dim(`[${name}]`)} ${line.replaceAll(ROOT, ".")}`);
}
