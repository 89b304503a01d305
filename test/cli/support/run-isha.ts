// Runs the operators' command: as the real program in its own process, or in this process with a made-up context.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import shipped from "../../../fleet.config.ts";
import { runIsha } from "../../../cli/isha.ts";
import { exampleNames, type CommandContext } from "../../../cli/context.ts";

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const MAIN = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));

/** Halves the program's start time. */
const COMPILE_CACHE = fileURLToPath(new URL("../../../node_modules/.cache/isha", import.meta.url));

interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** The program (default: cli/main.ts). */
  readonly program?: string;
}

/** The real program, without a terminal. */
export function runProgram(
  argv: readonly string[],
  { env = {}, folder, program = MAIN }: ProgramOptions = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...argv], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: "/nonexistent",
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
    ...(folder === undefined ? {} : { cwd: folder }),
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (out += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (err += chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

/** In this process; the test sets the terminal, its answers and the time. */
export async function runHere(argv: readonly string[], given: Partial<CommandContext> = {}): Promise<Ran> {
  let out = "";
  let err = "";
  const code = await runIsha(
    argv,
    commandContext({
      out: { write: (text) => (out += text), columns: null, colours: false },
      err: { write: (text) => (err += text), columns: null, colours: false },
      ...given,
    }),
  );
  return { code, out, err };
}

/** A context without a terminal and without files, at a fixed time. */
export function commandContext(given: Partial<CommandContext> = {}): CommandContext {
  const silent = { write: () => undefined, columns: null, colours: false };
  return {
    env: {},
    homeFolder: "/nonexistent",
    folder: "/nonexistent",
    example: exampleNames(shipped),
    version: "0.0.0",
    now: () => Date.parse("2026-11-23T14:30:00Z"),
    signal: new AbortController().signal,
    out: silent,
    err: silent,
    fleet: () => Promise.resolve(shipped),
    defaultUrl: () => Promise.resolve("https://isha.invalid"),
    ask: null,
    putSecret: () => Promise.resolve(null),
    ...given,
  };
}
