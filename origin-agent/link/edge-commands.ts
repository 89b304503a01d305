// Executes the edge's commands on this box. Each can arrive twice, so each is idempotent (design.md, 9).
import type { Logger } from "pino";
import { thrownName } from "../../shared/errors.ts";
import type { EdgeFrame } from "../../shared/wire.ts";
import type { OperatorRestarts } from "../servers/operator-restarts.ts";
import type { DrainState } from "./drain-state.ts";

export type EdgeCommand = Exclude<EdgeFrame, { t: "ack" }>;

export interface EdgeCommandsOptions {
  readonly drain: Pick<DrainState, "apply">;
  readonly restarts: Pick<OperatorRestarts, "restart">;
  /** Refuses a key's queued calls. @returns the number of refused calls */
  readonly revoke: (keyId: string) => number;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class EdgeCommands {
  readonly #options: EdgeCommandsOptions;

  constructor(options: EdgeCommandsOptions) {
    this.#options = options;
  }

  readonly handle = (command: EdgeCommand): void => {
    const { drain, log, revoke } = this.#options;
    switch (command.t) {
      case "drain":
      case "resume":
        if (drain.apply({ drained: command.t === "drain", at: command.at }))
          log.warn({ event: command.t, by: "edge" });
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
    const outcome = await restarts.restart(port).catch(thrownName);
    log.warn({ event: "restart-requested", port, outcome });
  }
}
