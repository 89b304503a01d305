// Restarts a server at an operator's request: only servers of this box, one restart at a time, and no second one soon
// after: a second click must not interrupt the load that the first one started.
import type { Pm2Probe, RestartOutcome } from "../probes/pm2.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Least time between two restarts of a server. */
export const RESTART_AGAIN_MS = 10_000;

export type OperatorRestart = RestartOutcome | "unknown-port" | "too-soon";

export class OperatorRestarts {
  readonly #upstreams: ReadonlyMap<number, Pick<Upstream, "process">>;
  readonly #pm2: Pick<Pm2Probe, "restart"> | null;
  readonly #clock: () => number;
  readonly #askedAt = new Map<number, number>();
  readonly #underWay = new Set<number>();

  /**
   * @param upstreams this box's servers
   * @param pm2 null if PM2 runs none of the servers
   * @param clock monotonic milliseconds
   */
  constructor(
    upstreams: ReadonlyMap<number, Pick<Upstream, "process">>,
    pm2: Pick<Pm2Probe, "restart"> | null,
    clock: () => number,
  ) {
    this.#upstreams = upstreams;
    this.#pm2 = pm2;
    this.#clock = clock;
  }

  async restart(port: number): Promise<OperatorRestart> {
    const upstream = this.#upstreams.get(port);
    if (upstream === undefined) return "unknown-port";
    const now = this.#clock();
    if (this.#underWay.has(port) || now - (this.#askedAt.get(port) ?? -Infinity) < RESTART_AGAIN_MS)
      return "too-soon";
    this.#askedAt.set(port, now);
    this.#underWay.add(port);
    try {
      return this.#pm2 === null ? "no-pm2" : await this.#pm2.restart(upstream.process);
    } finally {
      this.#underWay.delete(port);
    }
  }
}
