// Lists PM2's processes and restarts them, over the daemon's socket. It never runs the `pm2` command: that starts a
// Node program for each listing (0.1 s of CPU instead of 3 ms), prints notices before its JSON, and starts a daemon
// with this agent's environment if none is running.
import { join } from "node:path";
import { readListing, type Pm2Process } from "./pm2-listing.ts";
import { callPm2, type RpcFailure } from "./pm2-rpc.ts";

/** An idle daemon replies within 3 ms. */
const LIST_TIMEOUT_MS = 2_000;

/** The daemon replies once the old process has exited, which includes its kill timeout. */
const RESTART_TIMEOUT_MS = 60_000;

export interface Pm2Options {
  /** PM2's folder: `$PM2_HOME`, or `.pm2` in the user's home. */
  readonly home: string;
  /** Called once each time PM2 stops replying, with the cause, and once when it replies again (null). */
  readonly onProblem: (failure: RpcFailure | null) => void;
  /** Milliseconds since 1970, as PM2 reports when a process was started. */
  readonly wallClock: () => number;
  /** `LIST_TIMEOUT_MS` by default. */
  readonly listTimeoutMs?: number;
}

/** How PM2 lists a server's process: by its name and the port in its arguments. */
export type ServerProcess = Pick<Pm2Process, "name"> & { readonly port: number };

/** `unknown-name`: PM2 has no process of this name. `failed`: it has one, and the restart failed. */
export type Pm2Restart = "restarted" | "unknown-name" | "failed" | "no-pm2";

export class Pm2Probe {
  readonly #options: Pm2Options;
  readonly #socketPath: string;
  #problem: RpcFailure | null = null;

  constructor(options: Pm2Options) {
    this.#options = options;
    this.#socketPath = join(options.home, "rpc.sock");
  }

  /** All of PM2's processes; null if PM2 doesn't return them. */
  async list(): Promise<readonly Pm2Process[] | null> {
    const { listTimeoutMs = LIST_TIMEOUT_MS } = this.#options;
    const reply = await callPm2(this.#socketPath, "getMonitorData", {}, listTimeoutMs);
    const listed = reply.ok ? readListing(reply.value, this.#options.wallClock()) : null;
    this.#reportProblem(reply.ok ? (listed === null ? "malformed" : null) : reply.failure);
    return listed;
  }

  /** Restarts a server's process, as `pm2 restart` does, with an unchanged environment. */
  async restart(server: ServerProcess): Promise<Pm2Restart> {
    const listed = await this.list();
    if (listed === null) return "no-pm2";
    const process = processOf(listed, server);
    if (process === null) return "unknown-name";
    return (await this.#restart(process)) ? "restarted" : "failed";
  }

  async #restart({ pmId, status }: Pm2Process): Promise<boolean> {
    if (status === "waiting restart") {
      // PM2 refuses to start a process that it believes to be running; a stop ends the waiting.
      const stopped = await callPm2(this.#socketPath, "stopProcessId", pmId, RESTART_TIMEOUT_MS);
      if (!stopped.ok) return false;
    }
    const reply = await callPm2(this.#socketPath, "restartProcessId", { id: pmId }, RESTART_TIMEOUT_MS);
    return reply.ok;
  }

  #reportProblem(problem: RpcFailure | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onProblem(problem);
  }
}

/**
 * The process of a server. PM2 accepts several with one name: one whose arguments name another port isn't the server's,
 * and of several with its port only the oldest can listen; the others exit and are started again and again.
 */
export function processOf(listed: readonly Pm2Process[] | null, server: ServerProcess): Pm2Process | null {
  const named = (listed ?? []).filter(({ name }) => name === server.name);
  const isNamed = named.some((process) => process.port === server.port);
  const own = named.filter((process) => process.port === (isNamed ? server.port : null));
  return own.sort((one, other) => (other.uptimeMs ?? -1) - (one.uptimeMs ?? -1))[0] ?? null;
}
