// Restarts of servers that the edge asks for: only those of this box, one at a time, and not in a row: an operator's
// second click must not cut off the load that the first one began.
import type { Box } from "../../shared/fleet.ts";
import type { Pm2Probe, RestartOutcome } from "../probes/pm2.ts";

/** Between two restarts of a server, milliseconds. */
export const RESTART_AGAIN_MS = 10_000;

export type AskedRestart = RestartOutcome | "unknown-port" | "too-soon";

export class AskedRestarts {
  readonly #box: Box;
  readonly #pm2: Pick<Pm2Probe, "restart">;
  readonly #clock: () => number;
  readonly #askedAt = new Map<number, number>();
  readonly #underWay = new Set<number>();

  /** @param clock monotonic, milliseconds */
  constructor(box: Box, pm2: Pick<Pm2Probe, "restart">, clock: () => number) {
    this.#box = box;
    this.#pm2 = pm2;
    this.#clock = clock;
  }

  async restart(port: number): Promise<AskedRestart> {
    const server = this.#box.servers.find((candidate) => candidate.port === port);
    if (server === undefined) return "unknown-port";
    const now = this.#clock();
    if (this.#underWay.has(port) || now - (this.#askedAt.get(port) ?? -Infinity) < RESTART_AGAIN_MS)
      return "too-soon";
    this.#askedAt.set(port, now);
    this.#underWay.add(port);
    try {
      return await this.#pm2.restart(server.pm2);
    } finally {
      this.#underWay.delete(port);
    }
  }
}
