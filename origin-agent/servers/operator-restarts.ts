// Restarts a server at an operator's request, and waits until it is ready: only servers of this box, one restart at a
// time, and no second one soon after: a second click must not interrupt the load that the first one started.
import { setTimeout as sleep } from "node:timers/promises";
import { RESTART_READY_MS } from "../../shared/limits.ts";
import type { RestartOutcome } from "../../shared/wire.ts";
import { probeHealth } from "../probes/llama.ts";
import type { Pm2Probe } from "../probes/pm2.ts";
import { ProbeConnection } from "../probes/probe-connection.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Least time between two restarts of a server. */
export const RESTART_AGAIN_MS = 10_000;

/** How often a restarted server is asked whether it is ready. */
const READY_POLL_MS = 100;

type RestartedServer = Pick<Upstream, "process" | "origin">;

interface OperatorRestartsOptions {
  /** This box's servers. */
  readonly upstreams: ReadonlyMap<number, RestartedServer>;
  /** Null if PM2 runs none of the servers. */
  readonly pm2: Pick<Pm2Probe, "restart"> | null;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  /** Whether a server is ready; by default its `/health`. */
  readonly isReady?: (server: RestartedServer) => Promise<boolean>;
}

export interface RestartReport {
  readonly outcome: RestartOutcome;
  readonly tookMs: number;
}

export class OperatorRestarts {
  readonly #options: OperatorRestartsOptions;
  readonly #requestedAt = new Map<number, number>();
  readonly #underWay = new Set<number>();

  constructor(options: OperatorRestartsOptions) {
    this.#options = options;
  }

  async restart(port: number): Promise<RestartReport> {
    const { upstreams, clock } = this.#options;
    const now = clock();
    const outcome = async (): Promise<RestartOutcome> => {
      const upstream = upstreams.get(port);
      if (upstream === undefined) return "unknown-port";
      if (this.#underWay.has(port) || now - (this.#requestedAt.get(port) ?? -Infinity) < RESTART_AGAIN_MS)
        return "too-soon";
      this.#requestedAt.set(port, now);
      this.#underWay.add(port);
      try {
        return await this.#restart(upstream, now);
      } finally {
        this.#underWay.delete(port);
      }
    };
    return { outcome: await outcome(), tookMs: Math.max(0, Math.round(clock() - now)) };
  }

  async #restart(upstream: RestartedServer, startedAt: number): Promise<RestartOutcome> {
    const { pm2, clock, isReady = answersHealth } = this.#options;
    const restarted = pm2 === null ? "no-pm2" : await pm2.restart(upstream.process);
    if (restarted !== "restarted") return restarted;
    // PM2 replies once the old process has exited, so only the new one can answer.
    while (!(await isReady(upstream))) {
      if (clock() - startedAt >= RESTART_READY_MS) return "not-ready";
      await sleep(READY_POLL_MS, undefined, { ref: false });
    }
    return "ready";
  }
}

async function answersHealth({ origin }: RestartedServer): Promise<boolean> {
  return (await probeHealth(new ProbeConnection(origin))) === "ok";
}
