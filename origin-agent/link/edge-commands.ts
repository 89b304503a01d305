// Executes the edge's commands on this box. Each can arrive twice, so each is idempotent (design.md, 9).
import type { Logger } from "pino";
import { thrownName } from "../../shared/errors.ts";
import type { EdgeFrame, RestartedFrame } from "../../shared/wire.ts";
import type { OperatorRestarts, RestartReport } from "../servers/operator-restarts.ts";
import type { DrainState } from "./drain-state.ts";

export type EdgeCommand = Exclude<EdgeFrame, { t: "ack" }>;

export interface EdgeCommandsOptions {
  readonly drain: Pick<DrainState, "apply">;
  readonly restarts: Pick<OperatorRestarts, "restart">;
  /** Refuses a key's queued calls. @returns the number of refused calls */
  readonly revoke: (keyId: string) => number;
  /** Reports how a restart ended. */
  readonly onRestarted: (frame: RestartedFrame) => void;
  readonly log: Pick<Logger, "info" | "warn">;
}

const FAILED: RestartReport = { outcome: "failed", tookMs: 0 };

export class EdgeCommands {
  readonly #options: EdgeCommandsOptions;
  /** The id of each port's last restart: one that arrives twice is executed and reported once. */
  readonly #lastRestarts = new Map<number, string>();

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
        return void this.#restart(command.port, command.id);
      case "revoke":
        return log.info({ event: "revoked", key: command.keyId, refused: revoke(command.keyId) });
      case "warning":
        return log.warn({ event: "edge-warning", message: command.message });
    }
  };

  async #restart(port: number, id: string | undefined): Promise<void> {
    const { restarts, onRestarted, log } = this.#options;
    if (id !== undefined && this.#lastRestarts.get(port) === id) return;
    if (id !== undefined) this.#lastRestarts.set(port, id);
    let report = FAILED;
    try {
      report = await restarts.restart(port);
      log.warn({ event: "restart-requested", port, ...report });
    } catch (error) {
      log.warn({ event: "restart-requested", port, ...report, reason: thrownName(error) });
    }
    if (id !== undefined) onRestarted({ t: "restarted", id, port, ...report });
  }
}
