// One program in a process group of its own: what it says, how it ends, and that nothing of it stays, its
// own children included. It knows nothing of what the program is for.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const KEPT_LINES = 200;
/** How many of them an error shows. */
const SHOWN_LINES = 20;
const GRACE_MS = 3_000;

/** @typedef {{ code: number | null, signal: NodeJS.Signals | null }} Exit */
/** @typedef {{ command: string, args: string[], env: Record<string, string> }} Command */
/**
 * @typedef {object} Program
 * @property {string} name
 * @property {number} pid
 * @property {() => boolean} running
 * @property {Promise<Exit>} exited
 * @property {(count?: number) => string[]} lines the last ones of stdout and stderr
 * @property {(signal: NodeJS.Signals) => void} signal to the program itself, not its children
 * @property {<T>(find: (line: string) => T | undefined, timeoutMs: number) => Promise<T>} waitFor
 * @property {(graceMs?: number) => Promise<void>} end
 */

/**
 * @param {string} name what errors call it
 * @param {Command} command
 * @param {object} options
 * @param {string} options.cwd
 * @param {((line: string) => void) | undefined} [options.onLine]
 * @param {(line: string) => void} [options.onEvent] lines that the program writes to file descriptor 3
 * @returns {Program}
 */
export function startProgram(name, command, { cwd, onLine, onEvent }) {
  // First, so that a program never runs without it.
  startGuard();
  const child = spawn(command.command, command.args, {
    cwd,
    env: command.env,
    // A group of its own: it can be ended whole, and the terminal's Ctrl-C leaves the order to us.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", ...(onEvent === undefined ? [] : [/** @type {const} */ ("pipe")])],
  });
  const pid = child.pid ?? -1;
  if (pid !== -1) tellGuard({ add: pid });

  /** @type {string[]} */
  const kept = [];
  /** @type {Set<(line: string) => void>} */
  const listeners = new Set();
  /** @param {string} raw */
  const take = (raw) => {
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
  /** @type {Promise<Exit>} */
  const exited = new Promise((resolve) => {
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
        /** @param {string} how */
        const fail = (how) => {
          stopWaiting();
          reject(new Error(failureText(name, how, kept)));
        };
        /** @param {string} line */
        const look = (line) => {
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

/** @param {Exit} exit */
export function describeExit({ code, signal }) {
  return signal === null ? `with exit code ${code ?? "unknown"}` : `by ${signal}`;
}

/**
 * @param {string} name
 * @param {string} how
 * @param {readonly string[]} lines
 */
export function failureText(name, how, lines) {
  const last = lines.slice(-SHOWN_LINES).map((line) => `  ${line}`);
  return [
    `${name} ${how}.`,
    ...(last.length === 0 ? ["It said nothing."] : ["Its last lines:", ...last]),
  ].join("\n");
}

/** A folder that is to be gone when this process is. @param {string} folder */
export function guardFolder(folder) {
  tellGuard({ folder });
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** @type {import("node:child_process").ChildProcess | null} */
let guard = null;

/** @param {{ add?: number, drop?: number, folder?: string }} message */
function tellGuard(message) {
  startGuard().stdin?.write(`${JSON.stringify(message)}\n`);
}

/** One guard serves all that this process starts. */
function startGuard() {
  if (guard !== null) return guard;
  guard = spawn(process.execPath, [fileURLToPath(new URL("./guard.mjs", import.meta.url))], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.unref();
  /** @type {import("node:net").Socket} */ (guard.stdin).unref();
  // Without it programs still end in the usual way, so its loss is no reason to fail.
  guard.on("error", () => {});
  guard.stdin?.on("error", () => {});
  return guard;
}
