// `npm start`: the whole product on this machine until Ctrl-C. It prints; stack.mjs does the work.
import { resolve } from "node:path";
import { describeExit } from "./program.mjs";
import { ROOT, SHIPPED_FLEET } from "./paths.mjs";
import { isFree } from "./ports.mjs";
import { agentAt } from "./real-servers.mjs";
import { readPort, readStartArguments, START_USAGE } from "./start-arguments.mjs";
import { paint, startScreen } from "./start-screen.mjs";
import { startStack } from "./stack.mjs";

/** @typedef {import("./program-set.mjs").UnexpectedExit} UnexpectedExit */
/** @typedef {{ port: number, fixed: boolean }} Port */

const EDGE_PORT = 8787;
const AGENT_PORT = 8000;
const STATE_MS = 1_000;
const WATCH_MS = 5_000;
const TOLD_LINES = 2;
const TOLD_LENGTH = 200;
/** One Ctrl-C arrives up to three times, passed on by npm and by the bootstrap; a second one comes later. */
const SAME_CTRL_C_MS = 1_000;

const colours = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";
const style = paint(colours);

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

/** @param {string[]} argv */
async function main(argv) {
  const wanted = readStartArguments(argv);
  if (wanted.help) return console.log(START_USAGE);
  const edgePort = readPort("EDGE_PORT", process.env["EDGE_PORT"], EDGE_PORT);
  const agentPort = readPort("AGENT_PORT", process.env["AGENT_PORT"], AGENT_PORT);
  if (wanted.real) await refuseBesideAgent(agentPort.port);
  await refuseTaken("EDGE_PORT", edgePort);
  await refuseTaken("AGENT_PORT", agentPort);

  const stopper = new AbortController();
  const stopped = onStopSignal(stopper);
  const stack = await startStack({
    // npm changes to the project's folder; a file is named relative to the user's folder.
    fleetFile: wanted.fleet === null ? SHIPPED_FLEET : resolve(process.env["INIT_CWD"] ?? ".", wanted.fleet),
    edgePort: edgePort.fixed ? edgePort.port : { from: edgePort.port },
    agentPort: agentPort.fixed ? agentPort.port : { from: agentPort.port },
    real: wanted.real,
    ...optional("llamaApiKey", process.env["LLAMA_API_KEY"] || undefined),
    signal: stopper.signal,
    onProgress: (line) => console.log(style.dim(`${line} …`)),
    onExit: (exit) => console.error(style.warn(exitText(exit))),
    ...optional("onLine", wanted.verbose ? printLine : undefined),
  }).catch((/** @type {unknown} */ error) => {
    if (!stopper.signal.aborted) throw error;
    return null;
  });
  if (stack === null) return console.log("Stopped.");

  const urls = stack.boxes.flatMap(({ servers }) => servers.map(({ url }) => url));
  const states = new Map(
    await Promise.all(urls.map(async (url) => /** @type {const} */ ([url, await stateAt(`${url}/health`)]))),
  );
  const notes = [
    ...movedNote("edge", edgePort, stack.edgeUrl),
    ...movedNote("agent", agentPort, stack.boxes[0]?.agentUrl ?? ""),
  ];
  console.log(startScreen({ stack, stateOf: (url) => states.get(url) ?? "down", notes, paint: style }));
  const watch = watchEdge(stack.edgeUrl);
  await stopped;
  clearInterval(watch);
  await stack.stop();
  console.log("Stopped.");
}

/** Resolves when it is time to go: a signal, or the end of the parent process. @param {AbortController} stopper */
function onStopSignal(stopper) {
  return new Promise((resolve) => {
    /** @type {number | null} */
    let since = null;
    const stop = () => {
      if (since === null) {
        since = performance.now();
        console.log("\nStopping …");
        stopper.abort();
        resolve(undefined);
      } else if (performance.now() - since > SAME_CTRL_C_MS) {
        // The guard ends what is left.
        process.exit(1);
      }
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
    process.on("disconnect", stop);
    // The handler must not keep this process alive.
    process.channel?.unref();
    // A closed terminal or pipe is no reason to leave programs behind.
    for (const stream of [process.stdout, process.stderr]) {
      stream.on("error", () => stopper.signal.aborted || stop());
    }
  });
}

/**
 * wrangler outlives a crash of the Worker's runtime, and not always with a runtime that answers.
 * @param {string} edgeUrl
 */
function watchEdge(edgeUrl) {
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

/** @param {number} port */
async function refuseBesideAgent(port) {
  const box = await agentAt(port);
  if (box === null) return;
  throw new Error(
    `--real: the origin agent of "${box}" answers on port ${port} already, and two agents would hand out the ` +
      "same slots twice. Stop that one first, or leave out --real.",
  );
}

/** @param {string} name @param {Port} request */
async function refuseTaken(name, { port, fixed }) {
  if (!fixed || (await isFree(port))) return;
  throw new Error(
    `${name}=${port}: another program listens there. Choose another port, or leave ${name} unset to get the next free one.`,
  );
}

/** @param {string} what @param {Port} request @param {string} url */
function movedNote(what, request, url) {
  const port = Number(new URL(url).port);
  return port === request.port ? [] : [`Port ${request.port} is busy, so the ${what} is on ${port}.`];
}

/** @param {string} url @param {number} [withinMs] @returns {Promise<string>} */
async function stateAt(url, withinMs = STATE_MS) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(withinMs) });
    await response.body?.cancel();
    return response.status === 200 ? "ready" : "loading";
  } catch {
    return "down";
  }
}

/** @param {UnexpectedExit} exit */
function exitText({ name, exit, lines }) {
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

/** @param {string} name @param {string} line */
function printLine(name, line) {
  console.log(`${style.dim(`[${name}]`)} ${line.replaceAll(ROOT, ".")}`);
}

/**
 * A property only if there is a value.
 * @template {string} K
 * @template V
 * @param {K} key
 * @param {V | undefined} value
 * @returns {{ [key in K]?: V }}
 */
function optional(key, value) {
  return /** @type {{ [key in K]?: V }} */ (value === undefined ? {} : { [key]: value });
}
