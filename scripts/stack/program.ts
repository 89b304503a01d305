// One program in its own process group: its output, how it ends, and the end of its children with it. It doesn't depend on
// the program's purpose.
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import type { Socket } from "node:net";

const KEPT_LINES = 200;
/** How many of them an error shows. */
const SHOWN_LINES = 20;
const GRACE_MS = 3_000;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Command {
  command: string;
  args: string[];
  env: Record<string, string>;
}

export interface Program {
  name: string;
  pid: number;
  running: () => boolean;
  exited: Promise<Exit>;
  /** The last ones of stdout and stderr. */
  lines: (count?: number) => string[];
  /** To the program itself, not its children. */
  signal: (signal: NodeJS.Signals) => void;
  waitFor: <T>(find: (line: string) => T | undefined, timeoutMs: number) => Promise<T>;
  end: (graceMs?: number) => Promise<void>;
}

/** @param name what errors call it */
export function startProgram(
  name: string,
  command: Command,
  {
    cwd,
    onLine,
    onEvent,
  }: {
    cwd: string;
    onLine?: ((line: string) => void) | undefined;
    /** Lines that the program writes to file descriptor 3. */
    onEvent?: (line: string) => void;
  },
): Program {
  // First, so that a program never runs without it.
  startGuard();
  const child = spawn(command.command, command.args, {
    cwd,
    env: command.env,
    // A group of its own: it can be ended whole, and the terminal's Ctrl-C leaves the order to us.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", ...(onEvent === undefined ? [] : ["pipe" as const])],
  });
  const pid = child.pid ?? -1;
  if (pid !== -1) tellGuard({ add: pid });

  const kept: string[] = [];
  const listeners = new Set<(line: string) => void>();
  const take = (raw: string) => {
    const line = stripVTControlCharacters(raw).trimEnd();
    if (line === "") return;
    kept.push(line);
    if (kept.length > KEPT_LINES) kept.shift();
    for (const listener of listeners) listener(line);
    onLine?.(line);
  };
  for (const input of [child.stdout, child.stderr]) {
    if (input !== null) createInterface({ input }).on("line", take);
  }
  const events = child.stdio[3];
  if (onEvent !== undefined && events instanceof Readable) {
    createInterface({ input: events }).on("line", onEvent);
  }

  let running = pid !== -1;
  const exited: Promise<Exit> = new Promise((resolve) => {
    child.on("error", (error) => {
      take(error.message);
      if (pid === -1) resolve({ code: null, signal: null });
    });
    child.on("exit", () => {
      running = false;
      // What the program started itself goes with it, else its pipes would stay open too.
      signalGroup(pid, "SIGKILL");
      tellGuard({ drop: pid });
    });
    // Later than "exit": by now its last lines have been read.
    child.on("close", (code, signal) => resolve({ code, signal }));
  });

  return {
    name,
    pid,
    running: () => running,
    exited,
    lines: (count = KEPT_LINES) => kept.slice(-count),
    signal: (signal) => void (running && process.kill(pid, signal)),
    waitFor(find, timeoutMs) {
      return new Promise((resolve, reject) => {
        const fail = (how: string) => {
          stopWaiting();
          reject(new Error(failureText(name, how, kept)));
        };
        const look = (line: string) => {
          const found = find(line);
          if (found === undefined) return;
          stopWaiting();
          resolve(found);
        };
        const timer = setTimeout(() => fail(`wasn't ready after ${timeoutMs / 1000} s`), timeoutMs);
        const stopWaiting = () => {
          clearTimeout(timer);
          listeners.delete(look);
        };
        listeners.add(look);
        kept.forEach(look);
        void exited.then((exit) => fail(`ended ${describeExit(exit)} before it was ready`));
      });
    },
    async end(graceMs = GRACE_MS) {
      if (!running) return;
      signalGroup(pid, "SIGTERM");
      const timer = setTimeout(() => signalGroup(pid, "SIGKILL"), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

export function describeExit({ code, signal }: Exit) {
  return signal === null ? `with exit code ${code ?? "unknown"}` : `by ${signal}`;
}

export function failureText(name: string, how: string, lines: readonly string[]) {
  const last = lines.slice(-SHOWN_LINES).map((line) => `  ${line}`);
  return [
    `${name} ${how}.`,
    ...(last.length === 0 ? ["It said nothing."] : ["Its last lines:", ...last]),
  ].join("\n");
}

/** A folder that is to be gone when this process is. */
export function guardFolder(folder: string) {
  tellGuard({ folder });
}

/** A command that is to run when this process is gone: it ends programs that another program started for us. */
export function guardCommand(run: Command) {
  tellGuard({ run });
}

function signalGroup(pid: number, signal: NodeJS.Signals) {
  try {
    process.kill(-pid, signal);
  } catch {
    // No process is left in it.
  }
}

let guard: ChildProcess | null = null;

function tellGuard(message: { add?: number; drop?: number; folder?: string; run?: Command }) {
  startGuard().stdin?.write(`${JSON.stringify(message)}\n`);
}

/** One guard serves all that this process starts. */
function startGuard() {
  if (guard !== null) return guard;
  guard = spawn(process.execPath, [fileURLToPath(new URL("./guard.ts", import.meta.url))], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.unref();
  (guard.stdin as Socket).unref();
  // Without it programs still end in the usual way, so its loss is no reason to fail.
  guard.on("error", () => {});
  guard.stdin?.on("error", () => {});
  return guard;
}
