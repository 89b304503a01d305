// The program `isha`: passes the real terminal, environment, clock and signals to the commands, and decides nothing.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { FleetConfig } from "../shared/fleet.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { runIsha } from "./isha.ts";
import { exampleNames, type CommandContext, type Output } from "./context.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { env } = process;

/** wrangler calls two services of Cloudflare; after this time it is considered stuck. */
const WRANGLER_MS = 120_000;

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupt.abort());
}
for (const stream of [process.stdout, process.stderr]) {
  // The reader of a pipe has closed it, as in `isha … | head`.
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
  // Reading the fleet file takes longer than most commands.
  const isHelp = process.argv.slice(2).some((word) => ["-h", "--help", "help"].includes(word));
  return {
    env,
    homeFolder: homedir(),
    // npm changes to the project's folder; file names are relative to the user's folder.
    folder: ["isha", "deploy"].includes(env["npm_lifecycle_event"] ?? "")
      ? (env["INIT_CWD"] ?? process.cwd())
      : process.cwd(),
    version,
    example: exampleNames(isHelp ? await fleet().catch(() => null) : null),
    now: Date.now,
    signal: interrupt.signal,
    out: outputTo(process.stdout),
    err: outputTo(process.stderr),
    fleet,
    defaultUrl: async () => `https://${(await fleet()).domain}`,
    ask: process.stdin.isTTY && process.stderr.isTTY ? ask : null,
    putSecret,
  };
}

function outputTo(stream: NodeJS.WriteStream): Output {
  const colours = stream.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return { write: (text) => stream.write(text), columns: stream.isTTY ? stream.columns : null, colours };
}

async function fleet(): Promise<FleetConfig> {
  const file = resolve(env["ISHA_FLEET"] || `${ROOT}/fleet.config.ts`);
  try {
    const module = (await import(pathToFileURL(file).href)) as { readonly default: FleetConfig };
    return module.default;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(EXIT.usage, `The fleet file can't be read: ${reason}`, {
      advice: "Fix it; for a command that calls the service, --url <address> does without it.",
    });
  }
}

/** @throws CommandFailure on Ctrl-C and on Ctrl-D. */
async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const cancelled = new AbortController();
  terminal.on("SIGINT", () => cancelled.abort());
  terminal.on("close", () => cancelled.abort());
  try {
    return await terminal.question(question, {
      signal: AbortSignal.any([interrupt.signal, cancelled.signal]),
    });
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AbortError") throw error;
    process.stderr.write("\n");
    throw new CommandFailure(EXIT.interrupted, "Interrupted; nothing was done.");
  } finally {
    terminal.close();
  }
}

/** Runs wrangler from the PATH. The value is passed by stdin, so that no process listing shows it. */
function putSecret(name: string, value: string): Promise<number | null> {
  return new Promise((settle) => {
    const child = spawn("wrangler", ["secret", "put", name], {
      cwd: ROOT,
      stdio: ["pipe", 2, 2],
      // spawn's own timeout would keep this process alive if wrangler can't be started.
      signal: AbortSignal.any([interrupt.signal, AbortSignal.timeout(WRANGLER_MS)]),
    });
    child.on("error", () => settle(null));
    // wrangler may end before it has read the value.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(value);
    child.on("close", (code) => settle(code));
  });
}
