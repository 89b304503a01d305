// Executes the edge's commands on this box. The drained state is kept only in this process: the edge sends it again
// after every hello (design.md, 9).
import type { Logger } from "pino";
import type { EdgeFrame } from "../../shared/wire.ts";
import type { OperatorRestarts } from "../servers/operator-restarts.ts";

export type EdgeCommand = Exclude<EdgeFrame, { t: "ack" }>;

export interface EdgeCommandsOptions {
  readonly restarts: Pick<OperatorRestarts, "restart">;
  /** Refuses a key's queued calls. @returns the number of refused calls */
  readonly revoke: (keyId: string) => number;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class EdgeCommands {
  readonly #options: EdgeCommandsOptions;
  #drained = false;

  constructor(options: EdgeCommandsOptions) {
    this.#options = options;
  }

  /** Whether the box refuses new calls until the edge sends `resume`. */
  get drained(): boolean {
    return this.#drained;
  }

  readonly handle = (command: EdgeCommand): void => {
    const { log, revoke } = this.#options;
    switch (command.t) {
      case "drain":
      case "resume":
        if (this.#drained !== (command.t === "drain")) log.warn({ event: command.t, by: "edge" });
        this.#drained = command.t === "drain";
        return;
      case "restart":
        return void this.#restart(command.port);
      case "revoke":
        return log.info({ event: "revoked", key: command.keyId, refused: revoke(command.keyId) });
      case "warning":
        return log.warn({ event: "edge-warning", message: command.message });
    }
  };

  async #restart(port: number): Promise<void> {
    const { restarts, log } = this.#options;
    log.warn({ event: "restart-requested", port, outcome: await restarts.restart(port) });
  }
}
