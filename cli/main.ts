// The program `isha`: hands the real terminal, environment, clock and signals to the commands. It decides nothing.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { FleetConfig } from "../shared/fleet.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { runIsha } from "./isha.ts";
import type { Output, CommandContext } from "./context.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { env } = process;

/** wrangler asks two of Cloudflare's services; slower than this it hangs. */
const WRANGLER_MS = 120_000;

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupt.abort());
}
for (const stream of [process.stdout, process.stderr]) {
  // `isha … | head` has had enough.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit();
  });
}

process.exitCode = await runIsha(process.argv.slice(2), await commandContext());

async function commandContext(): Promise<CommandContext> {
  const { version } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  };
  return {
    env,
    homeFolder: homedir(),
    // npm changes to the project's folder; a file is named from where the user is.
    folder: env["npm_lifecycle_event"] === "isha" ? (env["INIT_CWD"] ?? process.cwd()) : process.cwd(),
    version,
    now: Date.now,
    signal: interrupt.signal,
    out: outputTo(process.stdout),
    err: outputTo(process.stderr),
    defaultUrl,
    ask: process.stdin.isTTY && process.stderr.isTTY ? ask : null,
    putSecret,
  };
}

function outputTo(stream: NodeJS.WriteStream): Output {
  const colours = stream.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return { write: (text) => stream.write(text), columns: stream.isTTY ? stream.columns : null, colours };
}

async function defaultUrl(): Promise<string> {
  const file = resolve(env["ISHA_FLEET"] || `${ROOT}/fleet.config.ts`);
  try {
    const { default: fleet } = (await import(pathToFileURL(file).href)) as { readonly default: FleetConfig };
    return `https://${fleet.domain}`;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(EXIT.usage, `The fleet file can't be read: ${why}`, {
      advice: "Mend it, or name the service: --url <address>.",
    });
  }
}

/** @throws CommandFailure on Ctrl-C, and where the terminal ends (Ctrl-D). */
async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const over = new AbortController();
  terminal.on("SIGINT", () => over.abort());
  terminal.on("close", () => over.abort());
  try {
    return await terminal.question(question, { signal: AbortSignal.any([interrupt.signal, over.signal]) });
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AbortError") throw error;
    process.stderr.write("\n");
    throw new CommandFailure(EXIT.interrupted, "Interrupted; nothing was done.");
  } finally {
    terminal.close();
  }
}

/** Runs wrangler, the clone's where there is one on the PATH; the value goes in by stdin, so no list of processes shows it. */
function putSecret(name: string, value: string): Promise<number | null> {
  return new Promise((settle) => {
    const child = spawn("wrangler", ["secret", "put", name], {
      cwd: ROOT,
      stdio: ["pipe", 2, 2],
      // spawn's own time limit would keep us alive where there is no wrangler to run.
      signal: AbortSignal.any([interrupt.signal, AbortSignal.timeout(WRANGLER_MS)]),
    });
    child.on("error", () => settle(null));
    // It may end without having read.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(value);
    child.on("close", (code) => settle(code));
  });
}
