// What PM2 says of the processes it runs, and the request to restart one. It asks the daemon's socket and not
// the `pm2` command: that starts a Node program for each look (0.1 s of CPU against 3 ms), prints notices
// before its JSON, and where no daemon runs it starts one, with this agent's environment in it.
import { join } from "node:path";
import { readListing, type Pm2Process } from "./pm2-listing.ts";
import { askPm2, type RpcFailure } from "./pm2-rpc.ts";

/** How long a listing may take, milliseconds; a daemon at rest answers in three. */
const LIST_TIMEOUT_MS = 2_000;

/** How long a restart may take, milliseconds: the daemon answers once the old process has ended, its kill time-out included. */
const RESTART_TIMEOUT_MS = 60_000;

export interface Pm2Options {
  /** PM2's folder: `$PM2_HOME`, or `.pm2` in the user's home. */
  readonly home: string;
  /** Told once each time PM2 stops answering, with why, and once when it does again (null). */
  readonly onProblem: (failure: RpcFailure | null) => void;
  /** Milliseconds since 1970; PM2 says in these when a process was started. */
  readonly wallClock: () => number;
  /** How long a listing may take; `LIST_TIMEOUT_MS` unless given. */
  readonly listTimeoutMs?: number;
}

/** `unknown-name`: PM2 has no process of this name. `failed`: it has, and the restart didn't succeed. */
export type RestartOutcome = "restarted" | "unknown-name" | "failed" | "no-pm2";

export class Pm2Probe {
  readonly #options: Pm2Options;
  readonly #socketPath: string;
  #problem: RpcFailure | null = null;

  constructor(options: Pm2Options) {
    this.#options = options;
    this.#socketPath = join(options.home, "rpc.sock");
  }

  /** All of PM2's processes; null where PM2 can't be asked. */
  async list(): Promise<readonly Pm2Process[] | null> {
    const { listTimeoutMs = LIST_TIMEOUT_MS } = this.#options;
    const answer = await askPm2(this.#socketPath, "getMonitorData", {}, listTimeoutMs);
    const listed = answer.ok ? readListing(answer.value, this.#options.wallClock()) : null;
    this.#tell(answer.ok ? (listed === null ? "garbled" : null) : answer.failure);
    return listed;
  }

  /** Restarts every process of this name, as `pm2 restart` does; the environment stays as it was. */
  async restart(name: string): Promise<RestartOutcome> {
    const listed = await this.list();
    if (listed === null) return "no-pm2";
    const named = listed.filter((process) => process.name === name);
    if (named.length === 0) return "unknown-name";
    for (const process of named) if (!(await this.#restart(process))) return "failed";
    return "restarted";
  }

  async #restart({ pmId, status }: Pm2Process): Promise<boolean> {
    if (status === "waiting restart") {
      // PM2 refuses to start what it still takes for alive; a stop ends the waiting.
      const stopped = await askPm2(this.#socketPath, "stopProcessId", pmId, RESTART_TIMEOUT_MS);
      if (!stopped.ok) return false;
    }
    const answer = await askPm2(this.#socketPath, "restartProcessId", { id: pmId }, RESTART_TIMEOUT_MS);
    return answer.ok;
  }

  #tell(problem: RpcFailure | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onProblem(problem);
  }
}

/** The process of this name that matters: one that runs before one that doesn't, the youngest first. */
export function processNamed(listed: readonly Pm2Process[] | null, name: string): Pm2Process | null {
  const named = (listed ?? []).filter((process) => process.name === name);
  const byAge = named.sort((a, b) => (a.uptimeMs ?? Infinity) - (b.uptimeMs ?? Infinity));
  return byAge[0] ?? null;
}
